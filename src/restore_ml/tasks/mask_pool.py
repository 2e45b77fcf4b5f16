"""The pool `masks` of training: masks that are too dear to draw for each sample are drawn once and shared."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from restore_ml.data.shards import Record, Shards
from restore_ml.seeds import generator


def mask_pool(kinds: Iterable[str], count: int, seed: int,
              draw: Callable[[str, np.random.Generator], np.ndarray]) -> list[Record]:
    """`count` masks (H x W uint8) of each kind, as records `<kind>-<number>` with the facts `kind` and `ratio`."""
    records = []
    for kind in kinds:
        for number in range(count):
            mask = draw(kind, generator(seed, "mask", kind, number))
            records.append(Record(f"{kind}-{number:04d}", {"mask": mask[..., None]},
                                  {"kind": kind, "ratio": float(mask.mean())}))
    return records


def mask_of_pool(pool: Shards, kinds: int, kind: str, rng: np.random.Generator) -> np.ndarray:
    """A random mask (H x W x 1) of that kind from a pool of so many `kinds`; a kind that it lacks is a `KeyError`."""
    number = int(rng.integers(len(pool) // kinds))
    return pool.arrays(pool.position(f"{kind}-{number:04d}"))["mask"]
