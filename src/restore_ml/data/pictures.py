"""The one reader of picture files: every format becomes H x W x C uint8 (C 1 or 3), or is refused with a reason.

Conversions, in this order:
- an animation or a file of several pages gives its first frame;
- EXIF orientation is applied (an unreadable EXIF block counts as none); an ICC profile is ignored: the stored numbers
  are taken as sRGB, so that no version of a colour library changes a pixel (`data/containers.py` hands it on);
- a palette becomes RGB, CMYK, YCbCr, HSV and Lab become RGB (Pillow's formulas), 1-bit becomes 0 and 255;
- 16-bit values become 8-bit by round(v / 257), those of a TIFF file with fewer used bits by their own white; 32-bit
  integers, signed ones and floats have no agreed range and are refused;
- where a TIFF file says that zero is white, it is; a channel beyond the colour's without a stated meaning is left out;
- transparency is composited on white; a picture that is transparent everywhere is refused.
Raw files of cameras, HEIC, AVIF and other kinds that are not read are refused by name (`restore_ml.data.unread`).
"""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps

from restore_ml.data import unread
from restore_ml.data.dvc_cache import is_cached
from restore_ml.data.tiff import TiffTags, UnreadableLayout

MAX_PIXELS = 89_478_485
"""The largest picture read (Pillow's own limit, 256 MiB of RGB), checked in the header before anything is decoded."""
MAX_BYTES = 2**30
"""The largest picture file read: more than MAX_PIXELS of 16-bit colour with transparency take."""
MIN_SIDE = 16
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "DIB", "WEBP", "GIF", "PPM", "JPEG2000")
"""Only formats that Pillow decodes itself and knows by their first bytes (EPS, for one, would start Ghostscript); MPO
is read as JPEG."""
SUFFIXES = frozenset((".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".tif", ".tiff", ".bmp", ".dib",
                      ".webp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k"))
"""Endings of pictures that are read."""
PROMISING = SUFFIXES | unread.SUFFIXES.keys()
"""Endings that promise a picture: such a file that cannot be read is a broken or unsupported picture and is named; any
other is no picture."""


class Refused(Exception):
    """Why a file is no usable picture, in a few words (`reason`)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read_picture(path: Path, within: Path | None = None, least: int = MIN_SIDE) -> np.ndarray:
    """Read one picture as a contiguous H x W x C uint8 array, C = 1 (grey) or 3 (RGB).

    `within`: a link that leads out of this folder is refused (those into DVC's own cache are not). `least`: pixels of
    the shorter side. Anything that cannot be read whole raises `Refused`; no bytes, however broken, raise anything
    else.
    """
    return decode_picture(read_bytes(path, within), path.suffix, least)


def decode_picture(data: bytes, suffix: str = "", least: int = MIN_SIDE, deep: bool = False) -> np.ndarray:
    """The same from a file's bytes; `suffix`: the ending of its name, by which some raw files are told from others.
    `deep`: 16-bit values stay uint16 (white is 65535) instead of becoming 8-bit."""
    with opened(data, suffix, least) as (image, tags):
        array = _deep_array(data, image, tags) if deep_colour(image, data, tags) else _to_array(
            upright_image(image), tags)
        return np.ascontiguousarray(eight_bit(array) if array.dtype == np.uint16 and not deep else array)


@contextmanager
def opened(data: bytes, suffix: str = "", least: int = MIN_SIDE) -> Iterator[tuple[Image.Image, TiffTags | None]]:
    """A picture file's first frame, loaded whole, and its tags where it is a TIFF file.

    Whatever is wrong with the bytes, also what the body of the `with` meets, is `Refused`.
    """
    reason = unread.kind_not_read(data[:64], suffix)
    if reason:
        raise Refused(reason)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata; the bomb limit is checked below
            tags = TiffTags.of(data)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(*image.size, least)
                ImageFile.LOAD_TRUNCATED_IMAGES = False  # another library may have switched it on
                image.load()
                yield image, tags
    except Refused:
        raise
    except UnreadableLayout as error:
        raise Refused(str(error)) from None
    except Image.DecompressionBombError:
        raise Refused(f"decompression bomb: more than {MAX_PIXELS} pixels") from None
    except Image.UnidentifiedImageError:
        is_tiff = data[:4] in (b"II*\0", b"MM\0*")
        raise Refused(_layout_words(data) if is_tiff else "not an image of a known format") from None
    except MemoryError:
        raise Refused("too large for the memory") from None
    except Exception as error:  # Pillow's decoders raise nearly anything on broken bytes
        text = " ".join(str(error).split()) or type(error).__name__
        raise Refused(f"truncated: {text}" if "truncated" in text.lower() else f"broken: {text}") from None


def _check_size(width: int, height: int, least: int) -> None:
    if width * height > MAX_PIXELS:
        raise Refused(f"decompression bomb: {width} x {height} is more than {MAX_PIXELS} pixels")
    if min(width, height) < least:
        raise Refused(f"too small: {width} x {height}, the shorter side must be at least {least}")


def _layout_words(data: bytes) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tags = TiffTags.of(data)
    if tags is None:
        return "not an image of a known format: a TIFF file without readable tags"
    return (f"a TIFF file of {tags.samples} channels of {tags.bits} bits with the photometric interpretation "
            f"{tags.photometric}, which is not read: save it as RGB or grey of 8 or 16 bits")


def read_bytes(path: Path, within: Path | None = None, most: int | None = MAX_BYTES) -> bytes:
    """A file's bytes; `Refused` when it is empty, no plain file, not readable, larger than `most`, or a link that leads
    out of `within`."""
    try:
        real = path.resolve(strict=True)
        if within is not None and not real.is_relative_to(inner := within.resolve()) and not is_cached(real, inner):
            raise Refused("a link that leads out of the folder")
        if not path.is_file():
            raise Refused("not a plain file")
        if most is not None and (size := path.stat().st_size) > most:
            raise Refused(f"too large a file: {size} bytes, at most {most} are read")
        data = path.read_bytes()
    except PermissionError:
        raise Refused("no permission to read it") from None
    except FileNotFoundError:
        raise Refused("a link that leads nowhere" if path.is_symlink() else "not there") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise Refused(f"not readable: {error}") from None
    if not data:
        raise Refused("zero bytes")
    return data


def _to_array(image: Image.Image, tags: TiffTags | None) -> np.ndarray:
    """Any mode of Pillow to H x W x 1 or H x W x 3 uint8, 16-bit grey to H x W x 1 uint16."""
    if image.mode.startswith("I"):
        return _grey(_levels(_whole_numbers(image), tags))
    if image.mode == "F":
        raise Refused("floating-point pixels, whose range is not known")
    if image.has_transparency_data and not (tags is not None and tags.meaningless):
        grey = image.mode in ("1", "L", "LA", "La")
        layer = image.convert("RGBA")
        if layer.getchannel("A").getextrema()[1] == 0:
            raise Refused("transparent everywhere: there is nothing to see")
        seen = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
        return _grey(np.asarray(seen.convert("L"))) if grey else np.asarray(seen)
    if image.mode in ("1", "L", "LA", "La"):
        return _grey(np.asarray(image.convert("L")))
    return np.asarray(image.convert("RGB"))


def _levels(values: np.ndarray, tags: TiffTags | None) -> np.ndarray:
    """16-bit levels with 65535 for white, by what a TIFF file says of it."""
    if tags is None or tags.bits not in (12, 16):
        return values
    if tags.white < 65535 and values.max() <= tags.white:
        values = np.rint(values.astype(np.float64) * (65535 / tags.white)).astype(np.uint16)
    return 65535 - values if tags.inverted else values


def _whole_numbers(image: Image.Image) -> np.ndarray:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise Refused("32-bit integer pixels, whose range is not known")
    return values.astype(np.uint16)


def eight_bit(values: np.ndarray) -> np.ndarray:
    """uint16 to uint8 by round(v / 257), so that 0 and 65535 become 0 and 255 and v * 257 becomes v again.

    >>> eight_bit(np.array([0, 128, 129, 257, 65535], np.uint16)).tolist()
    [0, 0, 1, 1, 255]
    """
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _grey(array: np.ndarray) -> np.ndarray:
    return array[:, :, None]


def orientation(image: Image.Image) -> int:
    """The case of EXIF's orientation, 1 (upright) to 8."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # a broken EXIF block says nothing about the pixels
        return 1


def upright_image(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says."""
    return ImageOps.exif_transpose(image) if orientation(image) in range(2, 9) else image


def upright(array: np.ndarray, image: Image.Image) -> np.ndarray:
    """EXIF orientation of an array (the cases 1 to 8 of the standard)."""
    turned = {2: array[:, ::-1], 3: array[::-1, ::-1], 4: array[::-1], 5: array.swapaxes(0, 1),
              6: array[::-1].swapaxes(0, 1), 7: array[::-1, ::-1].swapaxes(0, 1), 8: array[:, ::-1].swapaxes(0, 1)}
    return turned.get(orientation(image), array)


def deep_colour(image: Image.Image, data: bytes, tags: TiffTags | None) -> bool:
    """Whether the file holds 16-bit colour, of which Pillow keeps only the high bytes."""
    if image.format == "PNG":
        depth, kind = struct.unpack("BB", data[24:26])  # IHDR: bit depth, colour type
        return depth == 16 and kind != 0
    return tags is not None and tags.deep_colour


def deep_values(data: bytes) -> np.ndarray:
    """The levels of 16-bit colour, H x W x 3 or 4 uint16 in the order RGB(A), not yet upright; by OpenCV (Pillow has
    loaded the file before, so it is whole)."""
    import cv2

    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    values = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if values is None or values.dtype != np.uint16 or values.ndim != 3:
        raise Refused("16-bit colour in a layout that is not supported")
    return values[:, :, [2, 1, 0, 3][:values.shape[2]]]


def _deep_array(data: bytes, image: Image.Image, tags: TiffTags | None) -> np.ndarray:
    """16-bit colour as H x W x 3 uint16, on white and upright."""
    values = deep_values(data)
    colour = values[:, :, :3].astype(np.float64)
    if tags is not None and tags.white < 65535 and values.max() <= tags.white:
        colour *= 65535 / tags.white
    if values.shape[2] == 4 and not (tags is not None and tags.meaningless):
        alpha = values[:, :, 3:].astype(np.float64) / 65535
        if not alpha.any():
            raise Refused("transparent everywhere: there is nothing to see")
        colour = (colour if tags is not None and tags.associated else colour * alpha) + 65535 * (1 - alpha)
    return upright(np.rint(np.clip(colour, 0, 65535)).astype(np.uint16), image)


def pixel_hash(*arrays: np.ndarray) -> str:
    """SHA-256 of shape, dtype and values: equal pictures have equal ids whatever file they come from."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{'x'.join(map(str, array.shape))}:{array.dtype.name}:".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
