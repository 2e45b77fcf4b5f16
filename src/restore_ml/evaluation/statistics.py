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
    """How often each group is drawn in each resample: count x groups (read-only), rows sum to `groups`."""
    rng = generator(seed, "bootstrap", groups)
    draws = rng.multinomial(groups, np.full(groups, 1.0 / groups), size=count).astype(np.float64)
    draws.setflags(write=False)
    return draws


def bootstrap(values: np.ndarray, groups: Sequence[str], seed: int, confidence: float = CONFIDENCE,
              count: int = RESAMPLES) -> Estimate:
    """Mean over pictures and its percentile interval, resampling groups.

    `values`: (N,) float, NaN (not measured) left out together with groups that have no other value. With a single group
    nothing can be said about other photographs: the interval is NaN, the mean is not.
    """
    values = np.asarray(values, np.float64)
    known = ~np.isnan(values)
    names, index = np.unique(np.asarray(groups, dtype=str)[known], return_inverse=True)
    if not len(names):
        return Estimate(float("nan"), float("nan"), float("nan"), 0, 0)
    sums = np.bincount(index, weights=values[known])
    sizes = np.bincount(index)
    mean = float(sums.sum() / sizes.sum())
    if len(names) == 1:
        return Estimate(mean, float("nan"), float("nan"), int(known.sum()), 1)
    draws = resamples(len(names), seed, count)
    means = (draws @ sums) / (draws @ sizes)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return Estimate(mean, float(low), float(high), int(known.sum()), len(names))


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
