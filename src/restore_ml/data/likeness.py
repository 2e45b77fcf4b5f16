"""When two pictures show the same: a perceptual hash for whole pictures, fingerprints for crops of one another.

Both work on the luma of the decoded pixels, so grey and RGB copies agree. The thresholds gave no false alarm on the
embedded and benchmark photographs while finding re-encoded, resized and brightened copies (see the tests).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

DISTANCE = 6
"""Perceptual hashes that differ in at most so many of their 64 bits are near."""
CORRELATION = 0.985
"""... and the pictures are near-duplicates when their thumbnails also correlate at least so much."""
SHARED = 8
"""Pictures with at least so many equal fingerprints (about 45 x 45 equal pixels) overlap."""

_BLOCK = 16
_KEEP = 256  # one block in so many is a fingerprint, chosen by its content
_THUMB = 16
_STRIP = 256  # rows worked on at once, so that memory does not follow the size of the picture
_SIDE, _LOW = 32, 8
_FREQUENCY = np.arange(_LOW)[:, None]
_DCT = np.cos(np.pi * _FREQUENCY * (2 * np.arange(_SIDE) + 1) / (2 * _SIDE))
_BASE, _MIX = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93  # odd: multiplying loses nothing


@dataclass(frozen=True)
class Look:
    """How a picture looks: its perceptual hash (None for a picture without structure) and a 16 x 16 thumbnail."""

    phash: int | None
    thumbnail: bytes

    def as_json(self) -> dict[str, str | None]:
        """For collection.json."""
        return {"phash": None if self.phash is None else f"{self.phash:016x}", "thumbnail": self.thumbnail.hex()}

    @classmethod
    def from_json(cls, value: dict[str, str | None]) -> Look:
        """The reverse of `as_json`."""
        phash, thumbnail = value["phash"], value["thumbnail"]
        return cls(None if phash is None else int(phash, 16), bytes.fromhex(thumbnail or ""))


def luma(picture: np.ndarray) -> np.ndarray:
    """H x W uint8: the rounded BT.601 luma in whole numbers (the same bits everywhere); grey stays as it is."""
    if picture.shape[2] == 1:
        return picture[:, :, 0]
    grey = np.empty(picture.shape[:2], np.uint8)
    for top in range(0, len(picture), _STRIP):
        red, green, blue = np.moveaxis(picture[top:top + _STRIP].astype(np.uint32), 2, 0)
        grey[top:top + _STRIP] = (77 * red + 150 * green + 29 * blue + 128) >> 8
    return grey


def look(grey: np.ndarray) -> Look:
    """Perceptual hash of H x W uint8 luma: signs against the median of the 8 x 8 lowest DCT coefficients of a 32 x 32
    reduction, without the mean (the common DCT hash, 63 free bits)."""
    image = Image.fromarray(grey)
    small = np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.BOX)).astype(np.float64)
    thumbnail = np.asarray(image.resize((_THUMB, _THUMB), Image.Resampling.BOX)).tobytes()
    if small.std() < 2:
        return Look(None, thumbnail)
    low = np.round(_DCT @ small @ _DCT.T, 6).ravel()[1:]
    bits = low > np.median(low)
    return Look(int(sum(1 << place for place in np.flatnonzero(bits).tolist())), thumbnail)


def fingerprints(grey: np.ndarray) -> np.ndarray:
    """Sorted distinct uint64 fingerprints of H x W uint8 luma: hashes of 16 x 16 blocks at content-chosen places.

    A block is a fingerprint by its own content (one in 256), wherever it lies, so a crop keeps those of its area
    (winnowing: Schleimer, Wilkerson and Aiken 2003). Flat blocks have none: they are alike in any two pictures.
    """
    if min(grey.shape) < _BLOCK:
        return np.empty(0, np.uint64)
    strips = [_strip(grey[top:top + _STRIP + _BLOCK - 1]) for top in range(0, len(grey) - _BLOCK + 1, _STRIP)]
    return np.unique(np.concatenate(strips))


def _strip(grey: np.ndarray) -> np.ndarray:
    """The fingerprints of some rows."""
    rows = _windows(grey.astype(np.uint64), _BASE)
    mixed = _windows(np.ascontiguousarray(rows.T), _MIX).T * np.uint64(_MIX)
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(_BASE)
    chosen = (mixed >> np.uint64(64 - 8)) == 0  # the high 8 bits: one in _KEEP
    y, x = np.nonzero(chosen)
    textured = [grey[b:b + _BLOCK, a:a + _BLOCK].std() >= 4 for b, a in zip(y.tolist(), x.tolist(), strict=True)]
    return mixed[y, x][np.array(textured, bool)]


def _windows(values: np.ndarray, base: int) -> np.ndarray:
    """Polynomial hash modulo 2**64 of every run of _BLOCK values along the rows, from runs of half the length."""
    length = 1
    while length < _BLOCK:
        values = values[:, :-length] * np.uint64(base) + values[:, length:]
        base, length = base * base % 2**64, 2 * length
    return values


class Looks:
    """Pictures to be compared with, by name: `near(look)` names one of them that shows the same, or None."""

    def __init__(self, looks: dict[str, Look]) -> None:
        known = {name: value for name, value in looks.items() if value.phash is not None}
        self._names = list(known)
        self._hashes = np.array([value.phash for value in known.values()], np.uint64)
        self._thumbnails = [value.thumbnail for value in known.values()]

    def near(self, value: Look) -> str | None:
        """The nearest name within both thresholds, or None."""
        if value.phash is None or not self._names:
            return None
        distance = np.bitwise_count(self._hashes ^ np.uint64(value.phash))
        for index in np.argsort(distance, kind="stable")[:16].tolist():
            if distance[index] > DISTANCE:
                break
            if correlation(self._thumbnails[index], value.thumbnail) >= CORRELATION:
                return self._names[index]
        return None


def correlation(first: bytes, second: bytes) -> float:
    """Pearson's correlation of two thumbnails; 0 for one without structure."""
    a, b = (np.frombuffer(value, np.uint8).astype(np.float64) for value in (first, second))
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm else 0.0


class Crops:
    """Fingerprints of pictures to be compared with, by name: `overlap(prints)` names one that shares an area."""

    def __init__(self, prints: dict[str, np.ndarray]) -> None:
        self._names = list(prints)
        sizes = [len(value) for value in prints.values()]
        flat = np.concatenate(list(prints.values())) if prints else np.empty(0, np.uint64)
        owners = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        order = np.argsort(flat, kind="stable")
        self._prints, self._owners = flat[order], owners[order]

    def overlap(self, prints: np.ndarray) -> str | None:
        """The name that shares most fingerprints, if at least SHARED, or None."""
        first = np.searchsorted(self._prints, prints, "left")
        last = np.searchsorted(self._prints, prints, "right")
        owners = [self._owners[a:b] for a, b in zip(first.tolist(), last.tolist(), strict=True) if b > a]
        if len(owners) < SHARED:
            return None
        counts = np.bincount(np.concatenate(owners), minlength=len(self._names))
        return self._names[int(counts.argmax())] if counts.max() >= SHARED else None
