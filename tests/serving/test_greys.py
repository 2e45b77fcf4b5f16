"""Grey is not one thing: a grey picture of 8 bits, a scan of 16, a sepia print and a picture in colour, from the file
to the lightness that is joined to the colours."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from skimage.color import rgb2lab

from restore_ml.data.file_kinds import PICTURE, Picture
from restore_ml.degradations.colour import rgb_to_lab, to_rgb8
from restore_ml.method import Method, Model
from restore_ml.restoring.harness import restore
from restore_ml.serving.batch import restore_folder
from restore_ml.serving.restore_command import restore_file, restore_row
from restore_ml.tasks.colorization.photos import IN_COLOUR, PHOTOS, TONED, coloured, lightness_of, toned, y601
from restore_ml.tasks.photos import Asked, Restorer

DEEP = Picture(deep=True)
RNG = np.random.default_rng(3)
SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])
"""The usual matrix of picture programs."""


class Warm(Method):
    """One colour everywhere; keeps what it was shown."""

    task = "colorization"
    paper: dict[str, Any] = {}
    seen: list[np.ndarray] = []

    def restore(self, model, inputs, seed):
        grey = inputs["L"]
        self.seen.append(grey[0, 0, :, :, None].numpy().copy())
        return {"ab": torch.cat([torch.full_like(grey, 10.0), torch.full_like(grey, 20.0)], 1)}


def restorer() -> Restorer:
    Warm.seen.clear()
    return Restorer(Warm({}), Model(), 1, restore)


def grey_photo(height: int = 60, width: int = 80) -> np.ndarray:
    return np.ascontiguousarray(data.camera()[100:100 + height, 150:150 + width])


def scan() -> np.ndarray:
    """16-bit levels whose low bytes matter."""
    return (grey_photo().astype(np.uint16) * 257 // 2 + RNG.integers(0, 257, (60, 80))).astype(np.uint16)


def sepia(grey: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(np.repeat(grey[..., None], 3, 2) @ SEPIA.T, 0, 255)).astype(np.uint8)


def file_of(array: np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form, **options)
    return buffer.getvalue()


def read(data: bytes) -> np.ndarray:
    return DEEP.decode(data).value


def test_a_grey_photograph_of_8_bits() -> None:
    photo = grey_photo()
    picture = read(file_of(photo))
    assert picture.shape == (60, 80, 1) and picture.dtype == np.uint8 and not toned(picture) and not coloured(picture)
    lightness = lightness_of(picture)
    assert lightness.dtype == np.float32
    np.testing.assert_allclose(lightness[..., 0], rgb2lab(np.repeat(photo[..., None], 3, 2))[..., 0], atol=1e-4)
    # as one and as three channels it is the same grey, bit for bit
    np.testing.assert_array_equal(lightness, lightness_of(np.repeat(picture, 3, 2)))
    white_and_black = lightness_of(np.array([[[0], [255]]], np.uint8)).ravel()
    np.testing.assert_allclose(white_and_black, [0, 100], atol=1e-4)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_a_scan_of_16_bits_is_divided_by_65535(form: str) -> None:
    values = scan()
    picture = read(file_of(values, form))
    assert picture.dtype == np.uint16 and np.array_equal(picture[..., 0], values)
    lightness = lightness_of(picture)[..., 0]
    np.testing.assert_allclose(lightness, rgb2lab(np.repeat((values / 65535)[..., None], 3, 2))[..., 0], atol=2e-4)
    assert lightness.max() < 90  # divided by 255 all of it were white
    rounded = lightness_of(PICTURE.decode(file_of(values, form)).value)[..., 0]
    assert 0.05 < np.abs(rounded - lightness).max() < 0.5  # 8 bits would lose what a level is
    levels = lightness_of(np.array([[[30000], [30001], [30002]]], np.uint16)).ravel()
    assert levels[0] < levels[1] < levels[2]
    np.testing.assert_allclose(lightness_of(np.array([[[0], [65535]]], np.uint16)).ravel(), [0, 100], atol=1e-4)


def test_other_tasks_get_8_bits_of_a_scan() -> None:
    values = scan()
    eight = PICTURE.decode(file_of(values)).value
    assert eight.dtype == np.uint8 and np.array_equal(eight[..., 0], np.rint(values / 257).astype(np.uint8))


def test_a_16_bit_scan_in_colour_mode_that_says_grey_keeps_its_levels() -> None:
    values = np.repeat(scan()[..., None], 3, 2)
    picture = read(cv2.imencode(".png", values)[1].tobytes())
    assert picture.dtype == np.uint16 and np.array_equal(picture, values)
    np.testing.assert_array_equal(lightness_of(picture), lightness_of(values[..., :1]))


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("JPEG", {"quality": 90})])
def test_a_sepia_print_is_turned_to_grey_by_y601(form: str, options: dict[str, Any]) -> None:
    picture = read(file_of(sepia(grey_photo(300, 260)), form, **options))
    assert toned(picture)
    value = y601(picture)
    by_hand = picture.astype(np.float64) @ [0.299, 0.587, 0.114] / 255
    np.testing.assert_allclose(value[..., 0], by_hand, atol=1e-6)
    lightness = lightness_of(value)
    np.testing.assert_allclose(lightness[..., 0], rgb2lab(np.repeat(by_hand[..., None], 3, 2))[..., 0], atol=1e-3)
    assert np.abs(lightness - lightness_of(picture)).max() > 0.2  # Lab's own lightness is another one
    restored, ab = PHOTOS.lab(value, restorer())
    np.testing.assert_array_equal(restored, lightness)
    answered = PHOTOS.answer({"image": DEEP.decode(file_of(picture))}, Asked(), restorer())["image"].value
    np.testing.assert_array_equal(answered, to_rgb8(lightness, ab))


def test_a_faded_blue_print_is_toned_too() -> None:
    lab = np.concatenate([lightness_of(grey_photo()[..., None]), np.broadcast_to([-3.0, -14.0], (60, 80, 2))], 2)
    assert toned(to_rgb8(lab[..., :1], lab[..., 1:]))


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket", "retina"])
def test_a_picture_in_colour_is_no_print_in_one_tone(name: str) -> None:
    picture = getattr(data, name)()
    assert not toned(picture) and coloured(picture)
    np.testing.assert_allclose(lightness_of(picture)[..., 0], rgb2lab(picture)[..., 0], atol=2e-3)


def test_a_yellowed_grey_picture_and_a_grey_one_with_dabs_are_no_prints_in_one_tone() -> None:
    lightness, plain = lightness_of(grey_photo()[..., None]), np.zeros((60, 80, 2))
    assert not toned(to_rgb8(lightness, plain + np.array([0.5, 3.0])))
    dabbed = plain.copy()
    dabbed[:20, :20] = (40, 30)
    assert not toned(to_rgb8(lightness, dabbed))


def test_two_tones_are_colours() -> None:
    lightness, ab = lightness_of(grey_photo()[..., None]), np.empty((60, 80, 2))
    ab[:, :40], ab[:, 40:] = (8, 16), (16, 32)  # one hue, but twice as strong on one side: no tone of a print
    assert not toned(to_rgb8(np.clip(lightness, 30, 70), ab))


@pytest.mark.parametrize("shape", [(60, 80), (290, 350)])
def test_the_lightness_that_is_joined_is_that_of_the_file_bit_for_bit(shape: tuple[int, int],
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every kind, also of a picture that is made smaller for the network and cut into strips."""
    monkeypatch.setattr("restore_ml.tasks.colorization.photos.STRIP", 7 * 80)
    grey = grey_photo(*shape)
    deep = grey.astype(np.uint16) * 257 + np.uint16(5) * (grey < 250).astype(np.uint16)
    for picture in (grey[..., None], deep[..., None], y601(sepia(grey)), data.astronaut()[:shape[0], :shape[1]]):
        lightness, ab = PHOTOS.lab(picture, restorer())
        units = picture if picture.dtype == np.float32 else picture.astype(np.float32) / np.float32(
            255 if picture.dtype == np.uint8 else 65535)
        expected = rgb_to_lab(np.broadcast_to(units, (*shape, 3)))[..., :1]
        assert lightness.dtype == np.float32 and np.array_equal(lightness, expected)
        assert ab.shape == (*shape, 2) and np.allclose(ab, [10, 20], atol=1e-5)
        if min(shape) <= 256:
            np.testing.assert_array_equal(Warm.seen[-1], lightness)  # the network saw those very bits
        else:
            assert min(Warm.seen[-1].shape[:2]) == 256
        joined = PHOTOS.restore(picture, None, None, restorer())
        assert np.abs(rgb_to_lab(joined / 255)[..., :1] - lightness).max() < 0.25  # what 8 bits leave of it


CASES = [("grey", file_of(grey_photo()), ""), ("scan", file_of(scan()), ""),
         ("sepia", file_of(sepia(grey_photo()), "JPEG", quality=92), TONED),
         ("colour", file_of(np.ascontiguousarray(data.astronaut()[:60, 180:260])), IN_COLOUR)]


@pytest.mark.parametrize(("name", "bytes_", "said"), CASES, ids=[case[0] for case in CASES])
def test_restore_takes_every_grey_and_says_what_it_did(served: Path, tmp_path: Path, name: str, bytes_: bytes,
                                                       said: str) -> None:
    source, target = tmp_path / f"{name}.png", tmp_path / "out.png"
    source.write_bytes(bytes_)
    sentence = restore_file(served, "colorization", "colorful", source, target)
    assert sentence.endswith(f"{said}" if said else ").") and (TONED in sentence, IN_COLOUR in sentence) == (
        said == TONED, said == IN_COLOUR)
    value = read(bytes_)
    lightness = lightness_of(y601(value) if name == "sepia" else value)
    out = np.asarray(Image.open(target))
    assert out.shape == (60, 80, 3)
    assert np.abs(rgb_to_lab(out / 255)[..., :1] - lightness).max() < 0.25


def test_a_folder_counts_what_it_did(served: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, bytes_, _ in CASES:
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{name}.png").write_bytes(bytes_)
    assert restore_folder(served, "colorization", "colorful", tmp_path / "in", tmp_path / "out") == 0
    printed = capsys.readouterr()
    assert TONED in printed.out + printed.err and IN_COLOUR in printed.out + printed.err


def test_over_http_a_scan_is_restored_as_from_a_file(served: Path, tmp_path: Path) -> None:
    from restore_ml.serving.restore_command import load_for

    _, method, model = load_for(served, "colorization", "colorful")
    for name, bytes_, _ in CASES:
        (tmp_path / f"{name}.png").write_bytes(bytes_)
        restore_file(served, "colorization", "colorful", tmp_path / f"{name}.png", tmp_path / "out.png")
        row = restore_row(method, model, {"image": bytes_}, Asked())
        assert base64.b64decode(row["image"]) == (tmp_path / "out.png").read_bytes()
