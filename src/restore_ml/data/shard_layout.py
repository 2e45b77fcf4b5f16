"""Where the arrays of a shard's records lie in its file, and views of them."""

from __future__ import annotations

import mmap

import numpy as np

Place = tuple[str, str, tuple[int, ...], int]
"""One array of a record: name, dtype, shape and the byte of the file at which it starts."""


def view(file: mmap.mmap, dtype: str, shape: tuple[int, ...], start: int) -> np.ndarray:
    """The array at the byte `start` of the map, read-only: a view, or a copy where it does not lie at a multiple of its
    numbers' size."""
    view: np.ndarray = np.ndarray(shape, dtype, file, start)
    if view.flags.aligned:
        return view
    copy = view.copy()  # behind an array with an odd number of bytes
    copy.flags.writeable = False
    return copy


class Layout:
    """Where the arrays of a shard's records lie, once seen; some ten bytes an array, for records of one kind."""

    def __init__(self, records: int) -> None:
        self._records = records
        self._kind: list[tuple[str, str, int]] | None = None

    def get(self, index: int) -> list[Place] | None:
        """The places of a record that was put here."""
        if self._kind is None or self._starts[index, 0] < 0:
            return None
        return [(name, dtype, tuple(shape[:sides]), start) for (name, dtype, sides), shape, start in zip(
            self._kind, self._shapes[index].tolist(), self._starts[index].tolist(), strict=True)]

    def put(self, index: int, places: list[Place]) -> None:
        """Remember a record, when it has the names, dtypes and dimensions of the first one that was put here."""
        kind = [(name, dtype, len(shape)) for name, dtype, shape, _ in places]
        if self._kind is None and kind:
            self._kind = kind
            self._starts = np.full((self._records, len(kind)), -1, np.int64)
            self._shapes = np.zeros((self._records, len(kind), max(sides for _, _, sides in kind)), np.int32)
        if kind and kind == self._kind:
            self._starts[index] = [start for *_, start in places]
            for row, (_, _, shape, _) in zip(self._shapes[index], places, strict=True):
                row[:len(shape)] = shape
