"""The colour profile and the resolution of a picture file, and that they go with what is restored from it."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from restore_ml.data.containers import Container, read_container
from restore_ml.serving.batch import restore_folder
from restore_ml.serving.restore_command import encode, load_for, restore_file, restore_row
from restore_ml.tasks.photos import Asked
from tests.serving.conftest import add_model

RNG = np.random.default_rng(8)
PICTURE = RNG.integers(0, 256, (24, 40, 3), dtype=np.uint8)
RGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def file(form: str, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
def test_what_goes_in_comes_out(form: str) -> None:
    found = read_container(file(form, icc_profile=RGB, dpi=(300, 200)))
    assert found.profile == RGB and found.dpi == pytest.approx((300, 200), abs=0.02)
    again = read_container(encode(PICTURE, form, found, 2))
    assert again.profile == RGB and again.dpi == pytest.approx((600, 400), abs=0.02)
    assert found.options(form)[1] == ""


def test_a_turned_picture_has_its_resolution_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_container(file("JPEG", dpi=(300, 200), exif=exif)).dpi == (200, 300)


def test_what_does_not_fit_is_said() -> None:
    options, lost = Container(LAB, (72, 72)).options("WEBP")
    assert options == {} and lost == (" Of the original, its colour profile is left out (it is for Lab, not for RGB) "
                                      "and its resolution is left out (WEBP holds none).")
    assert Container(RGB).options("BMP")[1].endswith("(BMP holds none).")


@pytest.mark.parametrize("data", [b"", b"text", file("PNG")[:60], file("PNG"), file("PNG", icc_profile=b"short")])
def test_nothing_to_say(data: bytes) -> None:
    assert read_container(data) == Container()


def test_restore_carries_them(tmp_path: Path) -> None:
    add_model(tmp_path, "bicubic")
    source, target = tmp_path / "in.jpg", tmp_path / "out.png"
    source.write_bytes(file("JPEG", icc_profile=RGB, dpi=(300, 300)))
    said = restore_file(tmp_path, "super_resolution", "bicubic", source, target, scale=2)
    with Image.open(target) as image:
        assert image.size == (80, 48) and image.info["icc_profile"] == RGB
        assert image.info["dpi"] == pytest.approx((600, 600), abs=0.02)
    assert "left out" not in said
    source.write_bytes(file("PNG", "L", icc_profile=LAB))
    assert "its colour profile is left out" in restore_file(tmp_path, "super_resolution", "bicubic", source, target)


def test_a_folder_and_a_request_carry_them_too(tmp_path: Path) -> None:
    add_model(tmp_path, "bicubic")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(file("PNG", icc_profile=RGB, dpi=(300, 300)))
    restore_folder(tmp_path, "super_resolution", "bicubic", tmp_path / "in", tmp_path / "out", scale=2)
    _, method, model = load_for(tmp_path, "super_resolution", "bicubic")
    row = restore_row(method, model, {"image": (tmp_path / "in/a.png").read_bytes()}, Asked(scale=2))
    for data in ((tmp_path / "out/a.png").read_bytes(), base64.b64decode(row["image"])):
        found = read_container(data)
        assert found.profile == RGB and found.dpi == pytest.approx((600, 600), abs=0.02)
