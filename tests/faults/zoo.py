"""Picture files of every kind that has broken a program, with what is promised of each."""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

HEIGHT, WIDTH = 24, 40
LONG = "long " * 40


def pixels(number: int) -> np.ndarray:
    """H x W x 3 with enough structure to tell pictures and orientations apart."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))


def encoded(array: np.ndarray, form: str = "PNG", mode: str | None = None, **options: Any) -> bytes:
    """A picture file's bytes."""
    image = Image.fromarray(array)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, form, **options)
    return buffer.getvalue()


def sixteen(array: np.ndarray, ending: str) -> bytes:
    """The same picture with 16 bits a channel."""
    import cv2

    return cv2.imencode(ending, array[:, :, ::-1].astype(np.uint16) * 257)[1].tobytes()


def frames(form: str, number: int) -> bytes:
    """An animation (or several pages) whose first picture is `pixels(number)`."""
    more = [Image.fromarray(pixels(number + 100 + frame)) for frame in range(2)]
    options = {"lossless": True} if form == "WEBP" else {}
    return encoded(pixels(number), form, save_all=True, append_images=more, **options)


def bomb(width: int, height: int) -> bytes:
    """A PNG of some hundred bytes that says it is so large."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = b""
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return b"\x89PNG\r\n\x1a\n" + chunks


def turned(number: int) -> bytes:
    """A JPEG that is to be shown upright by its EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(pixels(number), "JPEG", exif=exif, quality=100, subsampling=0)


def profile() -> bytes:
    """An ICC profile that is not sRGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def palette(number: int) -> bytes:
    """A PNG of 16 colours, all that the picture has."""
    buffer = io.BytesIO()
    Image.fromarray(pixels(number)).quantize(16).save(buffer, "PNG")
    return buffer.getvalue()


def _alpha(number: int) -> np.ndarray:
    return np.dstack([pixels(number), np.full((HEIGHT, WIDTH), 128, np.uint8)])


READ: dict[str, Callable[[int], bytes]] = {
    "plain.png": lambda n: encoded(pixels(n)),
    "sixteen.png": lambda n: sixteen(pixels(n), ".png"),
    "sixteen.tif": lambda n: sixteen(pixels(n), ".tif"),
    "sixteen grey.png": lambda n: encoded(pixels(n)[:, :, 0].astype(np.uint16) * 257),
    "cmyk.jpg": lambda n: encoded(pixels(n), "JPEG", "CMYK", quality=95),
    "palette.png": palette,
    "bits.png": lambda n: encoded(pixels(n), mode="1"),
    "alpha.png": lambda n: encoded(_alpha(n)),
    "animated.gif": lambda n: frames("GIF", n),
    "animated.png": lambda n: frames("PNG", n),
    "animated.webp": lambda n: frames("WEBP", n),
    "pages.tif": lambda n: frames("TIFF", n),
    "turned.jpg": turned,
    "icc.png": lambda n: encoded(pixels(n), icc_profile=profile()),
    "jpeg called.png": lambda n: encoded(pixels(n), "JPEG", quality=95),
    "CAPITALS.PNG": lambda n: encoded(pixels(n)),
    "<b>&amp; 'quotes' \"=1+1\".png": lambda n: encoded(pixels(n)),
    "名前 фото ñandú 🌄.png": lambda n: encoded(pixels(n)),
    f"{LONG}.png": lambda n: encoded(pixels(n)),
    "a folder.png/inside.png": lambda n: encoded(pixels(n)),
}
"""Files that are read, by name; each gets a number of its own so that no two hold the same pixels."""
RENAMED: dict[bytes, Callable[[int], bytes]] = {
    b"new\nline\t.png": lambda n: encoded(pixels(n)), b"caf\xe9.png": lambda n: encoded(pixels(n)),
    b"\xe2\x80\xaegnp.evil.png": lambda n: encoded(pixels(n))}
"""Files that are read, whose names no table or page could show: collections rename them."""
REFUSED: dict[str, tuple[Callable[[int], bytes], str]] = {
    "zero.png": (lambda n: b"", "zero bytes"),
    "cut.png": (lambda n: encoded(pixels(n))[:-30], "truncated"),
    "cut.jpg": (lambda n: encoded(pixels(n), "JPEG")[:-200], "truncated"),
    "cut.tif": (lambda n: encoded(pixels(n), "TIFF")[:-500], "truncated"),
    "cut.webp": (lambda n: encoded(pixels(n), "WEBP", lossless=True)[:-20], ""),
    "text.png": (lambda n: b"an error page, <html>404</html>", "not an image of a known format"),
    "vector.png": (lambda n: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n", "a drawing or document"),
    "one.png": (lambda n: encoded(pixels(n)[:1, :1]), "too small: 1 x 1"),
    "thin.png": (lambda n: encoded(pixels(n)[:15]), "too small"),
    "bomb.png": (lambda n: bomb(60_000, 60_000), "decompression bomb"),
    "bomb.tif": (lambda n: encoded(pixels(n), "TIFF").replace(struct.pack("<HHII", 256, 4, 1, WIDTH), struct.pack(
        "<HHII", 256, 4, 1, 60_000)).replace(struct.pack("<HHII", 257, 4, 1, HEIGHT), struct.pack(
            "<HHII", 257, 4, 1, 60_000)), "decompression bomb"),
    "float.tif": (lambda n: encoded(pixels(n)[:, :, 0].astype(np.float32), "TIFF"), "floating-point"),
    "whole32.tif": (lambda n: encoded(pixels(n)[:, :, 0].astype(np.int32) * 70_000, "TIFF"), "32-bit"),
}
"""Files that are refused, with a part of the reason ("" for any)."""
SPECIAL = {"out.png": "a link that leads out of the folder", "device.png": "a link that leads out of the folder",
           "nowhere.png": "a link that leads nowhere", "circle.png": "not readable", "pipe.png": "not a plain file",
           "socket.png": "not a plain file", "sparse.png": "too large a file"}
"""Things that only look like picture files, made by `special`."""


def special(folder: Path, outside: Path) -> None:
    """The things of `SPECIAL`; `outside` is a folder for what the first link leads to."""
    (outside / "secret.png").write_bytes(encoded(pixels(999)))
    (folder / "out.png").symlink_to(outside / "secret.png")
    (folder / "device.png").symlink_to("/dev/zero")
    (folder / "nowhere.png").symlink_to(folder / "gone.png")
    (folder / "circle.png").symlink_to(folder / "circle.png")
    os.mkfifo(folder / "pipe.png")
    here = os.getcwd()
    os.chdir(folder)  # the path of a socket may not be long
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket.png")
    finally:
        os.chdir(here)
    with open(folder / "sparse.png", "wb") as file:
        file.write(encoded(pixels(998)))
        file.truncate(2**34)


def fill(folder: Path, outside: Path) -> None:
    """All of it in one folder, and a file that is no picture."""
    folder.mkdir(parents=True, exist_ok=True)
    outside.mkdir(parents=True, exist_ok=True)
    made = [*READ.items(), *RENAMED.items(), *((name, make) for name, (make, _) in REFUSED.items())]
    for number, (name, make) in enumerate(made):
        path = os.path.join(os.fsencode(folder), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(make(number))
    special(folder, outside)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"hidden")


def reasons() -> dict[str, str]:
    """Every name that is refused, with a part of the reason."""
    return {name: reason for name, (_, reason) in REFUSED.items()} | SPECIAL
