"""What a request may ask for, and how it is refused: a status and a sentence."""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from restore_ml.data.file_kinds import FileKind

KINDS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
"""Kinds of picture files that are taken over the wire."""


class Refusal(Exception):
    """A request that is not answered with pictures: the HTTP status, a sentence and headers for the reply."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, headers or {}


@dataclass(frozen=True)
class Limits:
    """Bounds of one request and of the queue.

    `megabytes`: of the body (a million bytes each), counted while it is read. `megapixels`: of all pictures of a
    request together, each counted with the larger of what it is and what it becomes; read from the files' headers
    before anything is decoded. `pictures`: in one request. `queue`: requests that are read, wait or run at a time.
    `seconds`: in which a body must have arrived.
    """

    megabytes: float = 64.0
    megapixels: float = 25.0
    pictures: int = 64
    queue: int = 8
    seconds: float = 60.0
    kinds: tuple[str, ...] = field(default=KINDS)

    @property
    def bytes(self) -> int:
        """The largest body."""
        return int(self.megabytes * 1e6)


class Pixels:
    """Adds up the pixels of a request's pictures and refuses what is too much."""

    def __init__(self, limits: Limits, enlarged: int = 1) -> None:
        """`enlarged`: how many times the pixels of a picture its result has."""
        self.limits, self.enlarged, self.total = limits, enlarged, 0

    def check(self, data: bytes, what: str) -> tuple[int, int]:
        """Look at a picture file's header: (width, height); `Refusal` for what is no picture, of another kind, or too
        large with those before it."""
        kind, width, height = header(data, what)
        if kind not in self.limits.kinds:
            raise Refusal(415, f"The {what} is a {kind} file; send {', '.join(self.limits.kinds[:-1])} or "
                               f"{self.limits.kinds[-1]}.")
        if what == "mask":
            return width, height
        self._count(width * height, what, f"{width} x {height} pixels")
        return width, height

    def add(self, kind: FileKind, data: bytes, what: str) -> None:
        """The same for a file of another kind, each pixel of whose frames (voxel, entry) counts."""
        from restore_ml.data.pictures import Refused

        try:
            pixels, said = kind.pixels(data)
        except Refused as refused:
            raise Refusal(422, f"The {what} cannot be used: {refused.reason}.") from None
        self._count(pixels, what, said)

    def _count(self, pixels: int, what: str, said: str) -> None:
        self.total += pixels * self.enlarged
        if self.total > self.limits.megapixels * 1e6:
            becomes = f", enlarged to {self.enlarged} times its pixels," if self.enlarged > 1 else ""
            raise Refusal(413, f"The {what} of {said}{becomes} makes {self.total / 1e6:.2f} "
                               f"megapixels in this request; at most {self.limits.megapixels:g} are taken.")


def header(data: bytes, what: str) -> tuple[str, int, int]:
    """(kind, width, height) of a picture file, from its header alone."""
    from PIL import Image

    from restore_ml.data.pictures import FORMATS

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                return "JPEG" if image.format == "MPO" else str(image.format), *image.size
    except Image.DecompressionBombError:
        raise Refusal(413, f"The {what} is larger than any picture that is read.") from None
    except Exception:  # Pillow raises nearly anything on broken headers
        raise Refusal(422, f"The {what} is not a picture file of a known kind.") from None


def seconds_to_wait(mean: float, waiting: int) -> int:
    """Whole seconds after which to try again, from the mean duration of a job and the jobs that are there."""
    return max(1, min(3600, math.ceil(mean * waiting)))
