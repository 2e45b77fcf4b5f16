"""The one reader of picture files: every format becomes H x W x C uint8 (C 1 or 3), or is refused with a reason.

Conversions, in this order:
- an animation or a file of several pages gives its first frame;
- EXIF orientation is applied (an unreadable EXIF block counts as none); an ICC profile is ignored: the stored numbers
  are taken as sRGB, so that no version of a colour library changes a pixel;
- a palette becomes RGB, CMYK, YCbCr, HSV and Lab become RGB (Pillow's formulas), 1-bit becomes 0 and 255;
- 16-bit values become 8-bit by round(v / 257); 32-bit integers and floats have no agreed range and are refused;
- transparency is composited on white.
"""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps

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
"""Names that promise a picture: such a file that cannot be read is a broken picture, any other is no picture."""


class Refused(Exception):
    """Why a file is no usable picture, in a few words (`reason`)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read_picture(path: Path, within: Path | None = None) -> np.ndarray:
    """Read one picture as a contiguous H x W x C uint8 array, C = 1 (grey) or 3 (RGB).

    `within`: a link that leads out of this folder is refused. Anything that cannot be read whole raises `Refused`;
    no bytes, however broken, raise anything else.
    """
    return decode_picture(read_bytes(path, within))


def decode_picture(data: bytes) -> np.ndarray:
    """The same from a file's bytes."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata; the bomb limit is checked below
            return _decode(data)
    except Refused:
        raise
    except Image.DecompressionBombError:
        raise Refused(f"decompression bomb: more than {MAX_PIXELS} pixels") from None
    except Image.UnidentifiedImageError:
        raise Refused("not an image of a known format") from None
    except MemoryError:
        raise Refused("too large for the memory") from None
    except Exception as error:  # Pillow's decoders raise nearly anything on broken bytes
        text = " ".join(str(error).split()) or type(error).__name__
        raise Refused(f"truncated: {text}" if "truncated" in text.lower() else f"broken: {text}") from None


def read_bytes(path: Path, within: Path | None = None, most: int | None = MAX_BYTES) -> bytes:
    """A file's bytes; `Refused` when it is empty, no plain file, not readable, larger than `most`, or a link that leads
    out of `within`."""
    try:
        real = path.resolve(strict=True)
        if within is not None and not real.is_relative_to(within.resolve()):
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


def _decode(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise Refused(f"decompression bomb: {width} x {height} is more than {MAX_PIXELS} pixels")
        if min(width, height) < MIN_SIDE:
            raise Refused(f"too small: {width} x {height}, the shorter side must be at least {MIN_SIDE}")
        deep = _deep_colour(image, data)
        ImageFile.LOAD_TRUNCATED_IMAGES = False  # another library may have switched it on
        image.load()
        array = _upright(_deep_array(data), image) if deep else _to_array(_upright_image(image))
    return np.ascontiguousarray(array)


def _to_array(image: Image.Image) -> np.ndarray:
    """Any mode of Pillow to H x W x 1 or H x W x 3 uint8."""
    if image.mode.startswith("I"):
        return _grey(eight_bit(_whole_numbers(image)))
    if image.mode == "F":
        raise Refused("floating-point pixels, whose range is not known")
    if image.has_transparency_data:
        grey = image.mode in ("1", "L", "LA", "La")
        return _grey(np.asarray(_on_white(image).convert("L"))) if grey else np.asarray(_on_white(image))
    if image.mode in ("1", "L", "LA", "La"):
        return _grey(np.asarray(image.convert("L")))
    return np.asarray(image.convert("RGB"))


def _on_white(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _whole_numbers(image: Image.Image) -> np.ndarray:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise Refused("32-bit integer pixels, whose range is not known")
    return values.astype(np.uint16)


def eight_bit(values: np.ndarray) -> np.ndarray:
    """uint16 to uint8 by round(v / 257), so that 0 and 65535 become 0 and 255 and v * 257 becomes v again."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _grey(array: np.ndarray) -> np.ndarray:
    return array[:, :, None]


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # a broken EXIF block says nothing about the pixels
        return 1


def _upright_image(image: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(image) if _orientation(image) in range(2, 9) else image


def _upright(array: np.ndarray, image: Image.Image) -> np.ndarray:
    """EXIF orientation of an array (the cases 1 to 8 of the standard)."""
    turned = {2: array[:, ::-1], 3: array[::-1, ::-1], 4: array[::-1], 5: array.swapaxes(0, 1),
              6: array[::-1].swapaxes(0, 1), 7: array[::-1, ::-1].swapaxes(0, 1), 8: array[:, ::-1].swapaxes(0, 1)}
    return turned.get(_orientation(image), array)


def _deep_colour(image: Image.Image, data: bytes) -> bool:
    """Whether the file holds 16-bit colour, of which Pillow keeps only the high bytes."""
    if image.format == "PNG":
        depth, kind = struct.unpack("BB", data[24:26])  # IHDR: bit depth, colour type
        return depth == 16 and kind != 0
    if image.format == "TIFF":
        bits = image.tag_v2.get(258, ())  # type: ignore[attr-defined]  # BitsPerSample
        return len(bits) > 1 and set(bits) == {16}
    return False


def _deep_array(data: bytes) -> np.ndarray:
    """16-bit colour by OpenCV (Pillow has loaded the file before, so it is whole)."""
    import cv2

    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    values = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if values is None or values.dtype != np.uint16 or values.ndim != 3:
        raise Refused("16-bit colour in a layout that is not supported")
    colour = values[:, :, 2::-1].astype(np.float64)  # BGR(A) to RGB
    if values.shape[2] == 4:
        alpha = values[:, :, 3:].astype(np.float64) / 65535
        colour = colour * alpha + 65535 * (1 - alpha)
    return eight_bit(np.rint(colour).astype(np.uint16))


def pixel_hash(*arrays: np.ndarray) -> str:
    """SHA-256 of shape, dtype and values: equal pictures have equal ids whatever file they come from."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{'x'.join(map(str, array.shape))}:{array.dtype.name}:".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
