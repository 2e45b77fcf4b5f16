"""TIFF files whose numbers mean something else than their type suggests, and kinds of files that are not read.

The files are written by hand after TIFF 6.0, and the truth is what was written."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from restore_ml.data.pictures import Refused, read_picture
from restore_ml.data.unread import RAW, SUFFIXES

HEIGHT, WIDTH = 32, 64
ROWS, COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH]
GREY = (COLUMNS * 255 // (WIDTH - 1)).astype(np.uint8)
RGB = np.stack([GREY, 255 - GREY, (ROWS * 255 // (HEIGHT - 1)).astype(np.uint8)], -1)
HALF = np.full((HEIGHT, WIDTH), 32768, np.uint16)
"""Opacity of half."""
ON_WHITE = np.rint(RGB * (32768 / 65535) + 255 * (1 - 32768 / 65535)).astype(np.uint8)
SHORT, LONG, BYTE = 3, 4, 1


def tiff(strips: bytes | list[bytes], bits: int, photometric: int, samples: int, *more: tuple[int, int, list[int]],
         order: str = "<", behind: bytes = b"", size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    """A TIFF file; `more`: further tags as (tag, type, values); `behind`: what follows the strips."""
    strips = strips if isinstance(strips, list) else [strips]
    entries = sorted([(256, LONG, [size[0]]), (257, LONG, [size[1]]), (258, SHORT, [bits] * samples), (259, SHORT, [1]),
                      (262, SHORT, [photometric]), (273, LONG, [0] * len(strips)), (277, SHORT, [samples]),
                      (278, LONG, [size[1]]), (279, LONG, [len(strip) for strip in strips]), *more])
    letter = {BYTE: "B", SHORT: "H", LONG: "I"}
    end = 8 + 2 + 12 * len(entries) + 4
    places = {}
    for tag, kind, values in entries:
        length = len(values) * struct.calcsize(letter[kind])
        if length > 4:
            places[tag], end = end, end + length + length % 2
    starts = [end + sum(map(len, strips[:number])) for number in range(len(strips))]
    head, body = struct.pack(order + "H", len(entries)), b""
    for tag, kind, values in entries:
        numbers = starts if tag == 273 else values
        raw = struct.pack(f"{order}{len(numbers)}{letter[kind]}", *numbers)
        place = struct.pack(order + "I", places[tag]) if tag in places else raw.ljust(4, b"\0")
        head += struct.pack(order + "HHI", tag, kind, len(values)) + place
        body += raw + b"\0" * (len(raw) % 2) if tag in places else b""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "I", 8) + head + struct.pack(order + "I", 0) + body + b"".join(strips) + behind


def deep(array: np.ndarray, order: str = "<") -> bytes:
    """8-bit levels as 16-bit ones, or 16-bit ones as they are."""
    values = array.astype(np.uint16) * 257 if array.dtype == np.uint8 else array
    return values.astype(f"{order}u2").tobytes()


def packed12(array: np.ndarray) -> bytes:
    """Two levels of 12 bits in three bytes."""
    pairs = np.rint(array.astype(float) * 4095 / 255).astype(int).reshape(-1, 2)
    return b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in pairs.tolist())


def with_fourth(array: np.ndarray) -> np.ndarray:
    """16-bit colour with half opacity."""
    return np.dstack([array.astype(np.uint16) * 257, HALF])


PREMULTIPLIED = np.dstack([np.rint(RGB.astype(float) * 257 * 32768 / 65535).astype(np.uint16), HALF])
TWELVE = np.rint(GREY.astype(float) * 4095 / 255).astype(np.uint16)
CMYK = np.dstack([255 - RGB, np.zeros_like(GREY)])
READ = {
    "grey of 8 bits, zero is white": (tiff((255 - GREY).tobytes(), 8, 0, 1), GREY),
    "grey of 16 bits": (tiff(deep(GREY), 16, 1, 1), GREY),
    "grey of 16 bits, zero is white": (tiff(deep(255 - GREY), 16, 0, 1), GREY),
    "grey of 16 bits, big end first": (tiff(deep(GREY, ">"), 16, 1, 1, order=">"), GREY),
    "12 bits packed": (tiff(packed12(GREY), 12, 1, 1), GREY),
    "12 bits in 16": (tiff(deep(TWELVE), 16, 1, 1, (281, SHORT, [4095])), GREY),
    "12 bits in 16, zero is white": (tiff(deep(4095 - TWELVE), 16, 0, 1, (281, SHORT, [4095])), GREY),
    "12-bit colour in 16": (tiff(deep(np.rint(RGB * (4095 / 255)).astype(np.uint16)), 16, 2, 3,
                                 (281, SHORT, [4095] * 3)), RGB),
    "a maximum that is a statistic": (tiff(deep(GREY), 16, 1, 1, (281, SHORT, [61234])), GREY),
    "colour of 16 bits": (tiff(deep(RGB), 16, 2, 3), RGB),
    "colour of 16 bits, big end first": (tiff(deep(RGB, ">"), 16, 2, 3, order=">"), RGB),
    "colour of 16 bits, turned": (tiff(deep(RGB), 16, 2, 3, (274, SHORT, [6])), np.rot90(RGB, -1)),
    "opacity apart": (tiff(deep(with_fourth(RGB)), 16, 2, 4, (338, SHORT, [2])), ON_WHITE),
    "opacity multiplied in": (tiff(deep(PREMULTIPLIED), 16, 2, 4, (338, SHORT, [1])), ON_WHITE),
    "a fourth channel without a meaning": (tiff(deep(with_fourth(RGB)), 16, 2, 4, (338, SHORT, [0])), RGB),
    "a fourth channel of which nothing is said": (tiff(deep(with_fourth(RGB)), 16, 2, 4), RGB),
    "the same in 8 bits": (tiff(np.dstack([RGB, GREY]).tobytes(), 8, 2, 4), RGB),
    "inks": (tiff(CMYK.tobytes(), 8, 5, 4), RGB),
    "one bit, zero is white": (tiff(np.packbits(GREY < 128, axis=1).tobytes(), 1, 0, 1),
                               np.where(GREY < 128, 0, 255).astype(np.uint8)),
    "small, but all there is": (tiff(RGB.tobytes(), 8, 2, 3, (254, LONG, [1])), RGB),
}


@pytest.mark.parametrize("name", READ)
def test_numbers_are_read_as_the_tags_say(tmp_path: Path, name: str) -> None:
    data, truth = READ[name]
    (tmp_path / "a.tif").write_bytes(data)
    found = read_picture(tmp_path / "a.tif").astype(int)
    truth = truth if truth.ndim == 3 else truth[:, :, None]
    assert found.shape == truth.shape
    assert np.abs(found - truth).max() <= (1 if "opacity" in name else 0)


def sub_image(photometric: int, *more: tuple[int, int, list[int]]) -> bytes:
    """A small picture with another image behind it, as in the raw files of cameras."""
    inner = tiff(deep(np.zeros((96, 128), np.uint16)), 16, photometric, 1, size=(128, 96))
    plain = tiff(RGB.tobytes(), 8, 2, 3, (330, LONG, [0]), *more)
    return tiff(RGB.tobytes(), 8, 2, 3, (330, LONG, [len(plain)]), *more,
                behind=inner[8:8 + 2 + 12 * 9 + 4])


REFUSED = {
    "signed": (tiff((GREY // 2).tobytes(), 8, 1, 1, (339, SHORT, [2])), "signed levels"),
    "signed 16 bits": (tiff(deep(GREY.astype(np.uint16)), 16, 1, 1, (339, SHORT, [2])), "signed levels"),
    "inks of 16 bits": (tiff(deep(CMYK), 16, 5, 4), "not RGB"),
    "other inks": (tiff(CMYK.tobytes(), 8, 5, 4, (332, SHORT, [2])), "inks other than"),
    "planes": (tiff([deep(RGB[:, :, channel]) for channel in range(3)], 16, 2, 3, (284, SHORT, [2])), "plane"),
    "10 bits": (tiff(packed12(GREY), 10, 1, 1), "1 channels of 10 bits"),
    "opaque grey": (tiff(deep(np.dstack([GREY, GREY])), 16, 1, 2, (338, SHORT, [2])), "2 channels of 16 bits"),
    "a sensor": (tiff(deep(GREY), 16, 32803, 1), RAW), "a sensor behind a preview": (sub_image(32803), RAW),
    "a negative": (tiff(RGB.tobytes(), 8, 2, 3, (50706, BYTE, [1, 4, 0, 0])), RAW),
    "a preview": (sub_image(2, (254, LONG, [1])), "reduced copy"),
    "a transparency mask": (tiff(GREY.tobytes(), 8, 4, 1), "transparency mask"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_rightly_is_refused(tmp_path: Path, name: str) -> None:
    data, reason = REFUSED[name]
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(Refused) as error:
        read_picture(tmp_path / "a.tif")
    assert reason in error.value.reason


@pytest.mark.parametrize(("name", "data", "reason"), [
    ("DSC_1.NEF", READ["the same in 8 bits"][0], RAW), ("a.cr2", b"II*\0\x10\0\0\0CR\2\0" + bytes(20), RAW),
    ("a.cr3", b"\0\0\0\x18ftypcrx " + bytes(20), RAW), ("a.raf", b"FUJIFILMCCD-RAW 0201", RAW),
    ("photo.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
    ("a.avif", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "AVIF"), ("a.jxl", b"\xff\x0a" + bytes(20), "JPEG XL"),
    ("a.psd", b"8BPS\0\1" + bytes(20), "painting program"), ("a.exr", b"v/1\x01" + bytes(20), "unbounded light")])
def test_kinds_that_are_not_read_are_named(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(Refused) as error:
        read_picture(tmp_path / name)
    assert reason in error.value.reason


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    from PIL import Image

    for suffix in (".nef", ".heic", ".psd"):
        Image.fromarray(RGB).save(tmp_path / f"a{suffix}", "PNG")
        assert np.array_equal(read_picture(tmp_path / f"a{suffix}"), RGB)
    assert all(suffix == suffix.lower() and suffix.startswith(".") and reason for suffix, reason in SUFFIXES.items())
