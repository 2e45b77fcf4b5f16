"""Pools of training material that add up: those of some pictures and those of others make those of all (counts)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from restore_ml.data.shards import Record


def packed(pools: Mapping[str, Sequence[Record]]) -> bytes:
    """The arrays of pools as bytes, small where they are mostly zeros."""
    from safetensors.numpy import save

    return zlib.compress(save({_name(pool, record, array): value for pool, records in pools.items()
                               for record in records for array, value in record.arrays.items()}), 1)


def add_up(start: Mapping[str, Sequence[Record]], parts: Iterable[bytes]) -> dict[str, list[Record]]:
    """The pools `start` with the arrays of all `packed` parts added to theirs (in float64 or int64, then back)."""
    from safetensors.numpy import load

    sums = {_name(pool, record, array): value.astype(np.float64 if value.dtype.kind == "f" else np.int64)
            for pool, records in start.items() for record in records for array, value in record.arrays.items()}
    for part in parts:
        for name, value in load(zlib.decompress(part)).items():
            sums[name] += value
    return {pool: [Record(record.id, {array: sums[_name(pool, record, array)].astype(value.dtype)
                                      for array, value in record.arrays.items()}, record.facts) for record in records]
            for pool, records in start.items()}


def _name(pool: str, record: Record, array: str) -> str:
    return f"{pool}/{record.id}/{array}"
