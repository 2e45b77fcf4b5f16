"""The picture reader: conversions against independent references, refusals, and no crash on any bytes."""

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from restore_ml.data import pictures
from restore_ml.data.pictures import Refused, eight_bit, pixel_hash, read_picture

RNG = np.random.default_rng(3)
RGB = RNG.integers(0, 256, (24, 40, 3), dtype=np.uint8)


def saved(folder: Path, array: np.ndarray, name: str = "a.png", **options) -> Path:
    Image.fromarray(array).save(folder / name, **options)
    return folder / name


def reason(path: Path, within: Path | None = None) -> str:
    with pytest.raises(Refused) as error:
        read_picture(path, within)
    return error.value.reason


def test_rgb_and_grey_come_back_as_they_are(tmp_path):
    assert np.array_equal(read_picture(saved(tmp_path, RGB)), RGB)
    grey = read_picture(saved(tmp_path, RGB[:, :, 0], "g.png"))
    assert grey.shape == (24, 40, 1) and np.array_equal(grey[:, :, 0], RGB[:, :, 0])
    assert grey.flags.c_contiguous and grey.dtype == np.uint8


def test_one_bit_palette_and_cmyk(tmp_path):
    bits = RGB[:, :, 0] > 127
    Image.fromarray(bits).save(tmp_path / "b.png")
    assert np.array_equal(read_picture(tmp_path / "b.png")[:, :, 0], bits * np.uint8(255))
    palette = Image.fromarray(RGB).quantize(16)
    palette.save(tmp_path / "p.png")
    colours = np.array(palette.getpalette()).reshape(-1, 3)
    assert np.array_equal(read_picture(tmp_path / "p.png"), colours[np.asarray(palette)])
    cmyk = np.zeros((20, 20, 4), np.uint8)
    cmyk[:, :, 0] = 255  # full cyan, nothing else
    Image.fromarray(cmyk, "CMYK").save(tmp_path / "c.tif")
    assert np.array_equal(read_picture(tmp_path / "c.tif")[0, 0], [0, 255, 255])


def test_transparency_is_composited_on_white(tmp_path):
    rgba = np.dstack([RGB, RNG.integers(0, 256, (24, 40), dtype=np.uint8)])
    alpha = rgba[:, :, 3:].astype(float) / 255
    expected = RGB * alpha + 255 * (1 - alpha)
    assert np.abs(read_picture(saved(tmp_path, rgba)).astype(float) - expected).max() <= 1
    grey = read_picture(saved(tmp_path, rgba[:, :, 2:], "la.png"))
    assert grey.shape == (24, 40, 1)
    indices = np.zeros((20, 20), np.uint8)
    indices[0, 0] = 1
    palette = Image.fromarray(indices, "P")
    palette.putpalette([9, 9, 9] * 256)
    palette.save(tmp_path / "t.png", transparency=0)
    seen = np.full((20, 20, 3), 255, np.uint8)
    seen[0, 0] = 9
    assert np.array_equal(read_picture(tmp_path / "t.png"), seen)
    rgba[:, :, 3] = 0
    assert "transparent everywhere" in reason(saved(tmp_path, rgba))


def test_sixteen_bits_are_rounded(tmp_path):
    deep = RNG.integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    expected = np.rint(deep / 257).astype(np.uint8)
    for name in ("d.png", "d.tif"):
        cv2.imwrite(str(tmp_path / name), deep[:, :, ::-1])
        assert np.array_equal(read_picture(tmp_path / name), expected)
        cv2.imwrite(str(tmp_path / name), deep[:, :, 0])
        assert np.array_equal(read_picture(tmp_path / name)[:, :, 0], expected[:, :, 0])
    alpha = np.dstack([deep[:, :, ::-1], np.full((20, 30), 65535, np.uint16)])
    cv2.imwrite(str(tmp_path / "da.png"), alpha)
    assert np.array_equal(read_picture(tmp_path / "da.png"), expected)
    every = np.arange(65536, dtype=np.uint16)
    assert np.array_equal(eight_bit(every), np.rint(every / 257).astype(np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    """Against OpenCV, which applies it on its own; the 16-bit path against Pillow's path."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, RGB, "e.jpg", exif=exif, quality=100, subsampling=0)
    expected = cv2.imread(str(path), cv2.IMREAD_COLOR)[:, :, ::-1]
    found = read_picture(path)
    assert found.shape == expected.shape and np.abs(found.astype(int) - expected).max() <= 2
    plain = read_picture(saved(tmp_path, RGB, "e.png", exif=exif))
    deep = tmp_path / "deep.png"
    cv2.imwrite(str(deep), RGB[:, :, ::-1].astype(np.uint16) * 257)
    data = deep.read_bytes()
    chunk = b"eXIf" + exif.tobytes().removeprefix(b"Exif\x00\x00")
    chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    deep.write_bytes(data[:33] + chunk + data[33:])
    assert np.array_equal(read_picture(deep), plain)


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.fromarray(np.full((20, 20), value, np.uint8)) for value in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_picture(tmp_path / "a.gif")[0, 0, 0] == 10


def test_refusals_give_the_reason(tmp_path):
    whole = saved(tmp_path, RGB).read_bytes()
    (tmp_path / "empty.png").write_bytes(b"")
    assert reason(tmp_path / "empty.png") == "zero bytes"
    (tmp_path / "cut.png").write_bytes(whole[:len(whole) // 2])
    assert "truncated" in reason(tmp_path / "cut.png")
    jpeg = saved(tmp_path, RGB, "j.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(jpeg[:-40])
    assert "truncated" in reason(tmp_path / "cut.jpg")
    (tmp_path / "text.png").write_text("not a picture at all")
    assert reason(tmp_path / "text.png") == "not an image of a known format"
    assert "too small" in reason(saved(tmp_path, RGB[:15], "small.png"))
    Image.fromarray(np.zeros((20, 20), np.float32), "F").save(tmp_path / "f.tif")
    assert "floating-point" in reason(tmp_path / "f.tif")
    Image.fromarray(np.full((20, 20), 70000, np.int32), "I").save(tmp_path / "i.tif")
    assert "32-bit" in reason(tmp_path / "i.tif")
    assert reason(tmp_path / "nowhere.png") == "not there"
    (tmp_path / "folder.png").mkdir()
    assert reason(tmp_path / "folder.png") == "not a plain file"


def test_truncated_is_refused_even_when_another_library_allows_it(tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    data = saved(tmp_path, RGB, "j.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[:-40])
    assert "truncated" in reason(tmp_path / "cut.jpg")


def test_a_bomb_is_refused_from_its_header(tmp_path):
    """A PNG that says 100000 x 100000 and holds nothing else: no memory is asked for."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunks = b""
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    assert "decompression bomb" in reason(tmp_path / "bomb.png")


def test_pixel_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 24 * 40 - 1)
    assert "decompression bomb" in reason(saved(tmp_path, RGB))


def test_links(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    saved(tmp_path, RGB, "outside.png")
    saved(inner, RGB, "inside.png")
    (inner / "out.png").symlink_to(tmp_path / "outside.png")
    (inner / "in.png").symlink_to(inner / "inside.png")
    (inner / "dead.png").symlink_to(inner / "gone.png")
    (inner / "loop.png").symlink_to(inner / "loop.png")
    assert reason(inner / "out.png", inner) == "a link that leads out of the folder"
    assert np.array_equal(read_picture(inner / "in.png", inner), RGB)
    assert reason(inner / "dead.png", inner) == "a link that leads nowhere"
    assert "not readable" in reason(inner / "loop.png", inner)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission(tmp_path):
    path = saved(tmp_path, RGB)
    path.chmod(0)
    assert reason(path) == "no permission to read it"


def test_permission_denied_by_the_system(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "denied")

    path = saved(tmp_path, RGB)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert reason(path) == "no permission to read it"


@given(st.binary(max_size=400), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\0", b"GIF89a",
                                                 b"BM", b"RIFF\x20\0\0\0WEBP", b"P6\n20 20\n255\n", b"\0\0\0\x0cjP  "]))
@settings(deadline=None, max_examples=60)
def test_random_bytes_never_crash(tmp_path_factory, data, magic):
    path = tmp_path_factory.mktemp("bytes") / "x.png"
    path.write_bytes(magic + data)
    try:
        found = read_picture(path)
    except Refused as error:
        assert error.reason
    else:
        assert found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] in (1, 3)


@given(st.sampled_from(["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP"]), st.integers(0, 10**6), st.integers(0, 255),
       st.booleans())
@settings(deadline=None, max_examples=60)
def test_damaged_files_never_crash(tmp_path_factory, kind, place, value, cut):
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, kind)
    data = bytearray(buffer.getvalue())
    data[place % len(data)] = value
    path = tmp_path_factory.mktemp("damaged") / "x"
    path.write_bytes(data[:place % len(data)] if cut else data)
    try:
        assert read_picture(path).shape[2] in (1, 3)
    except Refused as error:
        assert error.reason


def test_pixel_hash_follows_pixels_and_shape_only(tmp_path):
    first = read_picture(saved(tmp_path, RGB))
    second = read_picture(saved(tmp_path, RGB, "b.bmp"))
    assert pixel_hash(first) == pixel_hash(second)
    assert pixel_hash(first) != pixel_hash(first.reshape(40, 24, 3)) != pixel_hash(first[:, ::-1])
    assert pixel_hash(first[:, ::-1]) == pixel_hash(np.ascontiguousarray(first[:, ::-1]))
