"""Named arrays of samples: what a task says of each of them, and what concerns several of them at once.

The kinds themselves (picture, mask, labels, flow ...) stand in `restore_ml.kinds`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_ml.kinds import Kind

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class ArraySpec:
    """A named array of a task: its kind, channels and range, and whose pixels it shares.

    `channels`: of pictures and clips; classes of labels; entries of a vector; 0 where any number will do.
    `low`, `high`: the range of its values on disk, where it is narrower than the kind's.
    `size_of`: the array whose height and width this one has; empty for one with a size of its own.
    `scale`: the NUMBER array by which it is larger than `size_of`; empty for the same size.
    `pairs`: rows of points that change places in a mirror (left and right eye).
    """

    kind: Kind
    channels: int = 1
    low: float | None = None
    high: float | None = None
    size_of: str = ""
    scale: str = ""
    pairs: tuple[tuple[int, int], ...] = ()

    @property
    def range(self) -> tuple[float | None, float | None]:
        """The least and the largest value on disk; None where nothing limits it."""
        return (self.kind.low if self.low is None else self.low, self.kind.high if self.high is None else self.high)

    def problem(self, value: np.ndarray) -> str | None:
        """None, or in a few words why `value` is no such array (dtype, rank, channels)."""
        return self.kind.problem(value, self)

    def to_tensor(self, stacked: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
        """See `Kind.to_tensor`."""
        return self.kind.to_tensor(stacked, device)

    def to_array(self, tensor: Tensor) -> np.ndarray:
        """One restored array (no batch axis) as it lies on disk."""
        value = self.kind.finish(self.kind.from_tensor(tensor), self)
        return value if value.flags.c_contiguous else value.copy()


def augment(arrays: Arrays, specs: Mapping[str, ArraySpec], rng: np.random.Generator, rotate: bool = True) -> Arrays:
    """The same random mirror (and quarter turn, for square crops) of all arrays of a sample."""
    mirror, quarters = bool(rng.integers(2)), int(rng.integers(4)) if rotate else 0
    turned = {}
    for name, value in arrays.items():
        spec = specs[name]
        grid = spec.size_of or name
        size = specs[grid].kind.size(arrays[grid]) if grid in arrays else None
        turned[name] = spec.kind.turn(value, mirror, quarters, spec, size or (0, 0))
    return turned


def frame(specs: Mapping[str, ArraySpec]) -> str:
    """The array whose grid a sample's size is told by: the first one that lies on a grid and has a size of its own."""
    return next(name for name, spec in specs.items() if spec.kind.rows is not None and not spec.size_of)


def shares_frame(name: str, specs: Mapping[str, ArraySpec]) -> bool:
    """Whether an input has the pixels of the frame, so that it is padded and cut into tiles with it."""
    return specs[name].kind.rows is not None and frame(specs) in (name, specs[name].size_of)


def expected_size(spec: ArraySpec, arrays: Mapping[str, np.ndarray], specs: Mapping[str, ArraySpec]) -> Any:
    """Height and width that `size_of` and `scale` ask of an array; None where they ask nothing.

    `arrays` and `specs`: those of the sample that `size_of` and `scale` are looked up in.
    """
    if spec.kind.rows is None or not spec.size_of:
        return None
    size = specs[spec.size_of].kind.size(arrays[spec.size_of])
    factor = int(arrays[spec.scale]) if spec.scale else 1
    return None if size is None else (size[0] * factor, size[1] * factor)


def text(words: str, length: int) -> np.ndarray:
    """A TEXT array of `length` bytes; what is longer is a `ValueError`.

    >>> text("ab", 4)
    array([97, 98,  0,  0], dtype=uint8)
    """
    data = words.encode()
    if len(data) > length:
        raise ValueError(f"The text takes {len(data)} bytes; at most {length} are kept.")
    return np.frombuffer(data.ljust(length, b"\0"), np.uint8).copy()


def words(value: np.ndarray | Sequence[int]) -> str:
    """The text of a TEXT array.

    >>> words(text("ab", 4))
    'ab'
    """
    return bytes(np.asarray(value, np.uint8)).rstrip(b"\0").decode()
