"""What a restoration task says of its samples: their arrays, the cases tested, how pictures are degraded.

Sampling only: metrics and display live in `restore_ml.evaluation`, so that a change there retrains nothing.

A *sample* is named arrays, split into `inputs` (what a method may see) and `target` (the truth). On disk and here
they are numpy, channels last (H x W x C) for pictures, in the dtypes that the task declares; methods get them as
float tensors, channels first (see `to_tensor`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from restore_ml.data.shards import Record, Shards


@dataclass(frozen=True)
class ArraySpec:
    """One named array: its dtype on disk, channels, and what its values mean.

    `kind` is one of
    - `picture`: uint8 H x W x C, tensors are float32 in [0, 1] (value / 255);
    - `mask`: uint8 H x W x 1 in {0, 1}, 1 = missing; tensors are float32 {0, 1};
    - `float`: float32 H x W x C in the units of the task, unchanged in tensors;
    - `number`: an int32 scalar (shape ()), an int64 tensor of shape (N,).
    """

    kind: str
    channels: int = 1


@dataclass(frozen=True)
class Case:
    """task x test set x degradation, written `set5/x2`."""

    test_set: str
    degradation: str

    def __str__(self) -> str:
        return f"{self.test_set}/{self.degradation}"


@dataclass
class Sample:
    """One sample: `inputs` and `target` by name, `facts` (JSON values such as the realised hole ratio)."""

    inputs: dict[str, np.ndarray]
    target: dict[str, np.ndarray]
    facts: dict[str, Any] = field(default_factory=dict)


class Task:
    """A task's sampling. Subclass it in tasks/<name>.py and set `TASK = MyTask()` there.

    `settings` below is the task's entry under `tasks:` in params.yaml, resolved for the active profile.
    """

    name: ClassVar[str]
    domain: ClassVar[str] = "photos"
    """Which prepared pictures it takes: `photos` (uint8) or `scenes` (multi-band, several dates)."""
    inputs: ClassVar[dict[str, ArraySpec]]
    target: ClassVar[dict[str, ArraySpec]]
    output: ClassVar[dict[str, ArraySpec]]
    """What restoring writes; keys that a method may leave out are named in `optional_output`."""
    optional_output: ClassVar[tuple[str, ...]] = ()
    pools_from: ClassVar[str] = "pictures"
    """What `training_pools` are made from: `nothing` but seed and settings, all `pictures`, or `shards` of them, whose
    arrays add up to those of all pictures (counts)."""

    def degradations(self, settings: dict[str, Any]) -> list[str]:
        """The names of all degradations that are tested (`x2`, `centre_half`), in the order of the table."""
        raise NotImplementedError

    def accepts(self, picture: np.ndarray, settings: dict[str, Any]) -> str | None:
        """None, or the reason in a few words why this prepared picture is no sample of the task (grey, too small)."""
        return None

    def test_sample(self, picture: Record, degradation: str, seed: int, settings: dict[str, Any]) -> Sample:
        """Degrade one test picture. Every draw comes from (seed, picture.id, degradation)."""
        raise NotImplementedError

    def training_records(self, pictures: Sequence[Record], seed: int, settings: dict[str, Any]) -> Iterator[Record]:
        """What training reads for each picture: fixed or costly material (resized pictures, low-resolution twins).

        Written once to samples/<task>/train/<prefix>.arrow; the record's id is the picture's. A record depends on its
        own picture alone: it is kept while that stays the same, whatever comes beside it.
        """
        raise NotImplementedError

    def training_pools(self, pictures: Sequence[Record], seed: int,
                       settings: dict[str, Any]) -> dict[str, list[Record]]:
        """Shared material by name (masks, histograms): written to samples/<task>/train/pools/<name>/pool.arrow."""
        return {}

    def batch_options(self, rng: np.random.Generator, run: dict[str, Any]) -> dict[str, Any]:
        """Draws common to a whole batch (the scale), from a generator seeded by (seed, step). `run`: run settings."""
        return {}

    def training_sample(self, record: Record, pools: dict[str, Shards], rng: np.random.Generator, run: dict[str, Any],
                        options: dict[str, Any]) -> Sample:
        """One training sample cut from `record`: crop, flip, mask. `rng` is seeded by (seed, picture id, visit)."""
        raise NotImplementedError

    def compose(self, inputs: dict[str, np.ndarray], output: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Put the known pixels back, bit for bit, after a method restored (identity where a task has none)."""
        return output


@dataclass(frozen=True)
class Material:
    """Where a task's training material lies: samples/<task>/train."""

    folder: Path

    @property
    def records(self) -> Shards:
        """One record a training picture."""
        return Shards(self.folder)

    def pool(self, name: str) -> Shards:
        """A named pool (`pools/<name>/*.arrow`)."""
        return Shards(self.folder / "pools" / name)


TURNS = (None, cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_CLOCKWISE)
"""OpenCV's names for quarter turns."""


def augment(arrays: dict[str, np.ndarray], rng: np.random.Generator, rotate: bool = True) -> dict[str, np.ndarray]:
    """The same random flip (and quarter turn, for square crops) of every H x W x C array; scalars pass."""
    flip, turns = bool(rng.integers(2)), int(rng.integers(4)) if rotate else 0
    return {name: _turned(value, flip, turns) if value.ndim > 1 else value for name, value in arrays.items()}


def _turned(array: np.ndarray, flip: bool, turns: int) -> np.ndarray:
    """`np.rot90` of the flipped array by OpenCV, which needs a tenth of numpy's time to copy pixels in that order."""
    turned = np.ascontiguousarray(array)  # a crop of a file's map: brought near row by row before it is turned
    if flip:
        turned = cv2.flip(turned, 1)
    if turns:
        turned = cv2.rotate(turned, TURNS[turns])  # type: ignore[arg-type]
    return turned if turned.ndim == array.ndim else turned[..., None]  # OpenCV drops an axis of one channel
