"""Masks as other tools write them: each is read as meant, or refused with a reason."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from restore_ml.data.mask_files import Mask, decode_mask, read_mask
from restore_ml.data.pictures import Refused

HOLE = np.zeros((48, 64), bool)
HOLE[16:32, 24:56] = True  # a sixth of the picture


def encoded(array: np.ndarray | Image.Image, form: str = "PNG", **options: object) -> bytes:
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def layer(colour: tuple[int, int, int], opacity: int = 255) -> np.ndarray:
    """Strokes of one colour on transparency."""
    array = np.zeros((*HOLE.shape, 4), np.uint8)
    array[HOLE] = (*colour, opacity)
    return array


def palette(*colours: tuple[int, int, int]) -> Image.Image:
    """A palette picture whose hole has the indices 1, 2 ... and whose background has 0."""
    indices = np.zeros(HOLE.shape, np.uint8)
    indices[HOLE] = 1 + np.arange(HOLE.sum()) * (len(colours) - 1) // HOLE.sum()
    image = Image.fromarray(indices, "P")
    image.putpalette([level for colour in colours for level in colour])
    return image


def labels(*values: int, dtype: type = np.uint8) -> np.ndarray:
    """The hole in vertical stripes of these values on 0."""
    array = np.zeros(HOLE.shape, dtype)
    for number, part in enumerate(np.array_split(np.arange(24, 56), len(values))):
        array[16:32, part] = values[number]
    return array


def erased() -> np.ndarray:
    """A photograph whose hole is transparent."""
    rng = np.random.default_rng(1)
    array = np.dstack([rng.integers(0, 256, (*HOLE.shape, 3), dtype=np.uint8), np.full(HOLE.shape, 255, np.uint8)])
    array[HOLE, 3] = 0
    return array


def soft() -> np.ndarray:
    return cv2.GaussianBlur(HOLE.astype(np.uint8) * 255, (5, 5), 1.0)


def sixteen(value: int) -> bytes:
    return cv2.imencode(".png", np.repeat((HOLE * value).astype(np.uint16)[:, :, None], 3, 2))[1].tobytes()


def white_is_zero() -> bytes:
    """One bit a pixel, 0 for white, as fax programs write it."""
    return encoded(Image.fromarray(HOLE), "TIFF", tiffinfo={262: 0}, compression="group4")


EXACT = {
    "0 and 255": lambda: encoded(HOLE * np.uint8(255)), "0 and 1": lambda: encoded(HOLE * np.uint8(1)),
    "0 and 100": lambda: encoded(HOLE * np.uint8(100)),
    "1 and 128": lambda: encoded(HOLE * np.uint8(127) + np.uint8(1)),
    "one bit": lambda: encoded(HOLE), "white is zero": white_is_zero,
    "16 bits, 0 and 1": lambda: encoded(HOLE.astype(np.uint16)),
    "16 bits, 0 and 255": lambda: encoded(HOLE.astype(np.uint16) * np.uint16(255)),
    "16 bits, full": lambda: encoded(HOLE.astype(np.uint16) * np.uint16(65535)),
    "16-bit colour, 0 and 1": lambda: sixteen(1), "16-bit colour, full": lambda: sixteen(65535),
    "32 bits": lambda: encoded(Image.fromarray(HOLE.astype(np.int32)), "TIFF"),
    "floats to 1": lambda: encoded(Image.fromarray(HOLE.astype(np.float32)), "TIFF"),
    "floats to 255": lambda: encoded(Image.fromarray(HOLE.astype(np.float32) * 255), "TIFF"),
    "rgb": lambda: encoded(np.repeat(HOLE[:, :, None] * np.uint8(255), 3, 2)),
    "red on black": lambda: encoded(HOLE[:, :, None] * np.array([200, 0, 0], np.uint8)),
    "labels": lambda: encoded(labels(1, 2, 3)), "many labels": lambda: encoded(labels(*range(1, 33))),
    "16-bit labels": lambda: encoded(labels(7, 300, 301, dtype=np.uint16)),
    "labels in colours": lambda: encoded(palette((0, 0, 0), (128, 0, 0), (0, 128, 0), (224, 224, 192))),
    "a palette of white and black": lambda: encoded(palette((0, 0, 0), (255, 255, 255))),
    "black strokes": lambda: encoded(layer((0, 0, 0))), "white strokes": lambda: encoded(layer((255, 255, 255))),
    "faint strokes": lambda: encoded(layer((255, 0, 0), 90)), "an erased photograph": lambda: encoded(erased()),
    "opaque black and white": lambda: encoded(np.dstack([np.repeat(HOLE[:, :, None] * np.uint8(255), 3, 2),
                                                         np.full(HOLE.shape, 255, np.uint8)])),
    "a bitmap": lambda: encoded(HOLE * np.uint8(255), "BMP"),
    "lossless webp": lambda: encoded(HOLE * np.uint8(255), "WEBP", lossless=True),
}


@pytest.mark.parametrize("name", EXACT)
def test_masks_that_say_the_same(name: str) -> None:
    mask = decode_mask(EXACT[name]())
    assert mask.hole.dtype == np.uint8 and np.array_equal(mask.hole, HOLE), mask.reading
    assert mask.share == pytest.approx(1 / 6) and str(mask).startswith("The mask marks 16.7% of the picture")


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
@pytest.mark.parametrize("quality", [30, 95])
def test_lossy_masks_differ_at_the_rim_alone(form: str, quality: int) -> None:
    hole = decode_mask(encoded(HOLE * np.uint8(255), form, quality=quality)).hole
    assert (hole != HOLE).mean() < 0.01


def test_soft_edges_are_cut_at_mid_grey() -> None:
    assert np.array_equal(decode_mask(encoded(soft())).hole, soft() >= 128)


def test_the_orientation_of_exif_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(HOLE * np.uint8(255), exif=exif)
    assert np.array_equal(decode_mask(turned).hole, np.rot90(HOLE, -1))


@pytest.mark.parametrize(("array", "reason"), [
    (np.zeros(HOLE.shape, np.uint8), "marks nothing"), (np.full(HOLE.shape, 255, np.uint8), "covers the whole picture"),
    (np.full(HOLE.shape, 1, np.uint8), "covers the whole picture"),
    (np.zeros((*HOLE.shape, 4), np.uint8), "transparent everywhere"),
    (255 - np.dstack([np.zeros((*HOLE.shape, 3), np.uint8), HOLE * np.uint8(255)]), "either could be what to fill"),
    (np.where(HOLE, 255, labels(1, 2)).astype(np.uint8) | np.uint8(1) * ~HOLE, None),
    (erased()[:, :, :3], "a picture in colours"),
    (np.tile(np.linspace(30, 220, 64).astype(np.uint8), (48, 1)), "shades of grey"),
    (np.where(HOLE[:, :, None], np.array([250, 0, 0]), np.array([0, 250, 0])).astype(np.uint8), "in colours")])
def test_what_marks_nothing_or_everything_or_could_mean_the_opposite(array: np.ndarray, reason: str | None) -> None:
    if reason is None:  # two levels, 1 and 255
        assert np.array_equal(decode_mask(encoded(array)).hole, HOLE)
        return
    with pytest.raises(Refused) as error:
        decode_mask(encoded(array))
    assert reason in error.value.reason


def test_labels_beside_white_are_not_guessed() -> None:
    array = labels(1, 2)
    array[:4] = 255  # "ignore", as segmentation data sets mark borders
    with pytest.raises(Refused) as error:
        decode_mask(encoded(array))
    assert "labels up to 2 beside white" in error.value.reason


def test_a_mask_that_marks_most_says_so() -> None:
    said = str(decode_mask(encoded(~HOLE * np.uint8(255))))
    assert "83.3% of the picture" in said and "invert the mask" in said
    assert "1 pixels" in str(Mask(np.eye(1, 5000, dtype=np.uint8).reshape(50, 100), "x"))


def test_a_file_that_is_no_mask(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(Refused) as error:
        read_mask(tmp_path / "text.png")
    assert "not an image" in error.value.reason
    Image.fromarray(np.where(HOLE, np.nan, 0).astype(np.float32)).save(tmp_path / "nan.tif")
    with pytest.raises(Refused) as error:
        read_mask(tmp_path / "nan.tif")
    assert "finite" in error.value.reason


@given(st.integers(0, 65534), st.integers(1, 65535), st.integers(0, 2**31))
@settings(deadline=None, max_examples=60)
def test_any_two_levels_mark_the_lighter(low: int, step: int, seed: int) -> None:
    hole = np.random.default_rng(seed).random((20, 24)) < 0.3
    hole[0, :2] = True, False
    array = np.where(hole, min(low + step, 65535), low).astype(np.uint16)
    assert np.array_equal(decode_mask(encoded(array)).hole, hole)
