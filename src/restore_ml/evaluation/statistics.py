"""Paired bootstrap over photographs: intervals of means and of differences, and how often a run is best.

Pictures of one `group` (tiles cut from the same photograph) are resampled together. The resamples depend on the seed
and on the number of groups alone, so that all runs and metrics of a case see the same ones: differences are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from restore_ml.seeds import generator

RESAMPLES = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over pictures with its interval; all NaN where there are no values. `groups`: photographs behind it."""

    mean: float
    low: float
    high: float
    pictures: int
    groups: int


@lru_cache(maxsize=4)
def resamples(groups: int, seed: int, count: int = RESAMPLES) -> np.ndarray:
    """How often each group is drawn in each resample: count x groups uint8 (read-only), rows sum to `groups`.

    A group is drawn once on average; that one is drawn more than 255 times has a probability below 1e-500.
    """
    rng = generator(seed, "bootstrap", groups)
    draws = np.empty((count, groups), np.uint8)
    for part in _parts(draws):
        part[:] = rng.multinomial(groups, np.full(groups, 1.0 / groups), size=len(part))
    draws.setflags(write=False)
    return draws


def _parts(draws: np.ndarray) -> list[np.ndarray]:
    """The rows in parts of about a million numbers: as float64 all of them are 800 MB for 10,000 photographs."""
    rows = max(1, 2**20 // draws.shape[1])
    return [draws[start : start + rows] for start in range(0, len(draws), rows)]


def bootstrap(values: np.ndarray, groups: Sequence[str], seed: int, confidence: float = CONFIDENCE,
              count: int = RESAMPLES) -> Estimate:
    """Mean over pictures and its percentile interval, resampling groups.

    `values`: (N,) float, NaN (not measured) left out together with groups that have no other value. With a single group
    nothing can be said about other photographs: the interval is NaN, the mean is not.
    """
    return bootstraps(np.asarray(values, np.float64)[None], groups, seed, confidence, count)[0]


def bootstraps(table: np.ndarray, groups: Sequence[str], seed: int, confidence: float = CONFIDENCE,
               count: int = RESAMPLES) -> list[Estimate]:
    """`bootstrap` of each row of `table` (K x N): rows that were measured on the same pictures share all the work."""
    table, named = np.asarray(table, np.float64), np.asarray(groups, dtype=str)
    rows_of: dict[bytes, list[int]] = {}
    for number, present in enumerate(~np.isnan(table)):
        rows_of.setdefault(present.tobytes(), []).append(number)
    estimates: dict[int, Estimate] = {}
    for rows in rows_of.values():
        present = ~np.isnan(table[rows[0]])
        of_rows = _estimates(table[rows][:, present], named[present], seed, confidence, count)
        estimates |= zip(rows, of_rows, strict=True)
    return [estimates[number] for number in range(len(table))]


def _estimates(table: np.ndarray, groups: np.ndarray, seed: int, confidence: float, count: int) -> list[Estimate]:
    """Of K x N values without NaN."""
    pictures = len(groups)
    names, index = np.unique(groups, return_inverse=True)
    if not pictures:
        return [Estimate(float("nan"), float("nan"), float("nan"), 0, 0)] * len(table)
    sizes = np.bincount(index)
    sums = np.stack([np.bincount(index, weights=row) for row in table], axis=1)
    means = sums.sum(axis=0) / pictures
    low = high = np.full(len(table), float("nan"))
    if len(names) > 1:
        columns = np.column_stack([sums, sizes])
        drawn = np.concatenate([part.astype(np.float64) @ columns for part in _parts(resamples(len(names), seed,
                                                                                               count))])
        tail = (1 - confidence) / 2
        low, high = np.quantile(drawn[:, :-1] / drawn[:, -1:], (tail, 1 - tail), axis=0)
    return [Estimate(float(mean), float(start), float(end), pictures, len(names))
            for mean, start, end in zip(means, low, high, strict=True)]


def paired(values: np.ndarray, reference: np.ndarray, groups: Sequence[str], seed: int,
           confidence: float = CONFIDENCE, count: int = RESAMPLES) -> Estimate:
    """Mean of `values - reference` picture by picture with its interval; pictures that either lacks are left out."""
    difference = np.asarray(values, np.float64) - np.asarray(reference, np.float64)
    return bootstrap(difference, groups, seed, confidence, count)


def ranks(means: Sequence[float], direction: int) -> list[int | None]:
    """Rank of each mean, 1 best; equal means share a rank, NaN has none. `direction`: 1 higher is better, -1 lower."""
    ordered = [direction * mean for mean in means]
    return [None if np.isnan(value) else 1 + sum(other > value for other in ordered) for value in ordered]


def wins(table: np.ndarray, direction: int) -> np.ndarray:
    """On how many pictures each run is best: `table` runs x pictures, NaN never wins, a tie is shared by all in it."""
    values = np.where(np.isnan(table), -np.inf, direction * table)
    best = values.max(axis=0)
    return ((values == best) & np.isfinite(best)).sum(axis=1)
