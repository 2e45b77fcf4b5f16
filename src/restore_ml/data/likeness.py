"""When two pictures show the same: a perceptual hash for whole pictures, fingerprints for crops of one another.

Both work on the luma of the decoded pixels, so grey and RGB copies agree. The thresholds gave no false alarm on the
embedded and benchmark photographs while finding re-encoded, resized and brightened copies (see the tests).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

_BLOCK = 16
_CHOSEN = np.uint64(2**56)  # one block in 256 has a hash below this: it is a fingerprint, chosen by its content
_TEXTURE = 4
_THUMB = 16
_STRIP = 2**16  # pixels worked on at once: they stay in the processor's cache, whatever the size of the picture
_WORDS, _FLIPS = 4, np.array([0, *(1 << place for place in range(16))], np.uint16)
_SIDE, _LOW = 32, 8
_FREQUENCY = np.arange(_LOW)[:, None]
_DCT = np.cos(np.pi * _FREQUENCY * (2 * np.arange(_SIDE) + 1) / (2 * _SIDE))
_TRIES, _TOGETHER = 16, 256  # candidates compared by their thumbnails; pictures looked up at once
_BASE, _MIX = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93  # odd: multiplying loses nothing


@dataclass(frozen=True)
class Likeness:
    """When two pictures count as showing the same.

    `distance`: bits of 64 in which their perceptual hashes differ at most (up to 7, see `Looks`); `correlation`: of
    their thumbnails, at least; `shared`: equal fingerprints (8: about 45 x 45 equal pixels) that make an overlap.
    """

    distance: int = 6
    correlation: float = 0.985
    shared: int = 8


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
        """The reverse of `as_json`; `ValueError` (or `KeyError`, `TypeError`) for what it does not write."""
        phash, thumbnail = value["phash"], bytes.fromhex(value["thumbnail"] or "")
        number = None if phash is None else int(phash, 16)
        if len(thumbnail) != _THUMB ** 2 or not 0 <= (number or 0) < 2**64:
            raise ValueError("no perceptual hash of 64 bits with a thumbnail")
        return cls(number, thumbnail)


NOTHING = Look(None, bytes(_THUMB ** 2))
"""The look of a record that is not compared by its look."""


def luma(picture: np.ndarray) -> np.ndarray:
    """H x W uint8: the rounded BT.601 luma in whole numbers (the same bits everywhere); grey stays as it is."""
    if picture.shape[2] == 1:
        return picture[:, :, 0]
    grey = np.empty(picture.shape[:2], np.uint8)
    rows = max(1, _STRIP // picture.shape[1])
    for top in range(0, len(picture), rows):
        strip = picture[top:top + rows].astype(np.uint16)  # the sum is at most 65408
        values = strip[:, :, 0] * np.uint16(77)
        values += strip[:, :, 1] * np.uint16(150)
        values += strip[:, :, 2] * np.uint16(29)
        values += np.uint16(128)
        grey[top:top + rows] = values >> np.uint16(8)
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
    return Look(int(sum(1 << bit for bit in np.flatnonzero(bits).tolist())), thumbnail)


def fingerprints(grey: np.ndarray) -> np.ndarray:
    """Sorted distinct uint64 fingerprints of H x W uint8 luma: hashes of 16 x 16 blocks at content-chosen places.

    A block is a fingerprint by its own content (one in 256), wherever it lies, so a crop keeps those of its area
    (winnowing: Schleimer, Wilkerson and Aiken 2003). Flat blocks have none: they are alike in any two pictures.
    """
    if min(grey.shape) < _BLOCK:
        return np.empty(0, np.uint64)
    rows = max(4 * _BLOCK, _STRIP // grey.shape[1])
    strips = [_strip(grey[top:top + rows + _BLOCK - 1]) for top in range(0, len(grey) - _BLOCK + 1, rows)]
    return np.unique(np.concatenate(strips))


def _strip(grey: np.ndarray) -> np.ndarray:
    """The fingerprints of some rows."""
    mixed = _windows(_windows(grey.astype(np.uint64), _BASE, 1), _MIX, 0)
    mixed *= np.uint64(_MIX)
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(_BASE)
    y, x = np.nonzero(mixed < _CHOSEN)
    blocks = np.lib.stride_tricks.sliding_window_view(grey, (_BLOCK, _BLOCK))[y, x].reshape(len(y), _BLOCK * _BLOCK)
    blocks = blocks.astype(np.int64)
    area, total = _BLOCK * _BLOCK, blocks.sum(axis=1)
    textured = area * np.einsum("ij,ij->i", blocks, blocks) - total**2 >= (_TEXTURE * area)**2  # standard deviation
    return mixed[y[textured], x[textured]]


def _windows(values: np.ndarray, base: int, axis: int) -> np.ndarray:
    """Polynomial hash modulo 2**64 of every run of _BLOCK values along an axis, from runs of half the length."""
    length = 1
    while length < _BLOCK:
        first, last = (values[:-length], values[length:]) if axis == 0 else (values[:, :-length], values[:, length:])
        values = first * np.uint64(base)
        values += last
        base, length = base * base % 2**64, 2 * length
    return values


def _turned(looks: list[tuple[str, Look]]) -> list[tuple[str, Look]]:
    """Each look mirrored and turned by quarters, seven more, hashed from its thumbnail.

    The thumbnail's pixels are means of two by two of those that are hashed, which weakens a frequency u by
    cos(pi u / 64); that is undone, and what is left of the difference is the thumbnail's rounding.
    """
    small = np.array([np.frombuffer(value.thumbnail, np.uint8) for _, value in looks], np.uint8)
    small = small.reshape(-1, _THUMB, _THUMB)
    sides = [np.rot90(side, number, (1, 2)) for side in (small, small[:, :, ::-1]) for number in range(4)][1:]
    basis = np.cos(np.pi * _FREQUENCY * (2 * np.arange(_THUMB) + 1) / (2 * _THUMB))
    basis /= np.cos(np.pi * _FREQUENCY / (2 * _SIDE))
    turned = []
    for side in sides:
        low = np.round(basis @ side.astype(np.float64) @ basis.T, 6).reshape(len(looks), _LOW * _LOW)[:, 1:]
        bits = low > np.median(low, axis=1, keepdims=True) if len(low) else low > 0
        hashes = (bits.astype(np.uint64) << np.arange(_LOW * _LOW - 1, dtype=np.uint64)).sum(axis=1, dtype=np.uint64)
        turned += [(name, Look(phash, thumbnail.tobytes())) for (name, _), phash, thumbnail in zip(
            looks, hashes.tolist(), side, strict=True)]
    return turned


class Looks:
    """Pictures to be compared with, by name: `near(look)` names one of them that shows the same, mirrored or turned by
    quarters as well, or None.

    Hashes are looked up by their four 16-bit words: two that differ in at most 6 bits have a word that differs in at
    most one, so that 68 look-ups find every candidate and the cost does not follow the number of pictures squared.
    """

    def __init__(self, looks: dict[str, Look], likeness: Likeness | None = None) -> None:
        """`likeness`: the thresholds, those of photographs where none are given."""
        self._likeness = likeness or Likeness()
        upright = [(name, value) for name, value in looks.items() if value.phash is not None]
        all_looks = upright + _turned(upright)
        self._names = [name for name, _ in all_looks]
        self._hashes = np.array([value.phash for _, value in all_looks], np.uint64)
        self._thumbnails = [value.thumbnail for _, value in all_looks]
        words = self._hashes.view(np.uint16).reshape(-1, _WORDS)
        self._orders = [np.argsort(words[:, number], kind="stable") for number in range(_WORDS)]
        self._starts = [np.searchsorted(words[order, number], np.arange(2**16 + 1))
                        for number, order in enumerate(self._orders)] if all_looks else []

    def near(self, value: Look) -> str | None:
        """The nearest name within both thresholds, or None."""
        return self.nearest([value])[0]

    def nearest(self, values: Sequence[Look]) -> list[str | None]:
        """`near` of each value, all at once."""
        nearest: list[str | None] = [None] * len(values)
        asked = [number for number, value in enumerate(values) if value.phash is not None] if self._names else []
        for start in range(0, len(asked), _TOGETHER):
            part = asked[start:start + _TOGETHER]
            tries = np.zeros(len(part), np.int64)
            hashes = np.array([values[number].phash for number in part], np.uint64)
            for asked_by, candidates in self._candidates(hashes):
                number = part[asked_by]
                tries[asked_by] += 1
                if nearest[number] is None and tries[asked_by] <= _TRIES:
                    alike = correlation(self._thumbnails[candidates], values[number].thumbnail)
                    nearest[number] = self._names[candidates] if alike >= self._likeness.correlation else None
        return nearest

    def _candidates(self, hashes: np.ndarray) -> list[tuple[int, int]]:
        """(number in `hashes`, number of the picture known) within the distance, the nearest of each first."""
        pairs = np.concatenate([self._with_word(number, hashes) for number in range(_WORDS)])
        asked, candidates = np.unique(pairs, axis=0).T
        nearest_first = np.lexsort((candidates, np.bitwise_count(hashes[asked] ^ self._hashes[candidates]), asked))
        return list(zip(asked[nearest_first].tolist(), candidates[nearest_first].tolist(), strict=True))

    def _with_word(self, number: int, hashes: np.ndarray) -> np.ndarray:
        """The pairs within the distance whose words of that number differ in one bit at most.

        The pictures known are sorted by that word, so those with one value of it stand side by side: from
        `starts[value]` to before `starts[value + 1]`.
        """
        order, starts = self._orders[number], self._starts[number]
        words = hashes.view(np.uint16).reshape(-1, _WORDS)[:, number]
        values = (words[:, None] ^ _FLIPS).astype(np.int64).ravel()  # each word and all that differ in one bit
        counts = starts[values + 1] - starts[values]
        asked = np.repeat(np.arange(len(values)) // len(_FLIPS), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)  # 0, 1, 2 ... of each run
        candidates = order[np.repeat(starts[values], counts) + within]
        close = np.bitwise_count(hashes[asked] ^ self._hashes[candidates]) <= self._likeness.distance
        return np.stack([asked[close], candidates[close]], axis=1)


def correlation(first: bytes, second: bytes) -> float:
    """Pearson's correlation of two thumbnails; 0 for one without structure.

    >>> round(correlation(bytes([0, 10, 20]), bytes([5, 25, 45])), 6), correlation(bytes([7, 7]), bytes([1, 2]))
    (1.0, 0.0)
    """
    a, b = (np.frombuffer(value, np.uint8).astype(np.float64) for value in (first, second))
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm else 0.0


class Crops:
    """Fingerprints of pictures to be compared with, by name: `overlap(prints)` names one that shares an area."""

    def __init__(self, prints: dict[str, np.ndarray], likeness: Likeness | None = None) -> None:
        """`likeness`: how many fingerprints make an overlap, as for photographs where nothing is given."""
        self._shared = (likeness or Likeness()).shared
        self._names = list(prints)
        sizes = [len(value) for value in prints.values()]
        flat = np.concatenate(list(prints.values())) if prints else np.empty(0, np.uint64)
        owners = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        order = np.argsort(flat, kind="stable")
        self._prints, self._owners = flat[order], owners[order]

    def overlap(self, prints: np.ndarray) -> str | None:
        """The name that shares most fingerprints, if they are enough, or None."""
        first = np.searchsorted(self._prints, prints, "left")
        last = np.searchsorted(self._prints, prints, "right")
        hits = np.flatnonzero(last > first)
        if len(hits) < self._shared:
            return None
        owners = [self._owners[a:b] for a, b in zip(first[hits].tolist(), last[hits].tolist(), strict=True)]
        counts = np.bincount(np.concatenate(owners), minlength=len(self._names))
        return self._names[int(counts.argmax())] if counts.max() >= self._shared else None
