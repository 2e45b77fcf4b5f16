"""Figures of classifiers: of one answer, and of a whole set by its confusion matrix. Classes are numbers from 0."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from restore_ml.seeds import generator

WORLDS = 2000
WITHOUT = 0.05
"""The largest share of worlds without a gap with which the rest of them still says something."""


def brier(probabilities: np.ndarray, label: int) -> float:
    """Brier's score of one answer, sum over classes of (p_k - [k is the label])^2: 0 is sure and right, 2 sure and
    wrong (Brier, Monthly Weather Review 1950). `probabilities`: K numbers that sum to 1.

    >>> brier(np.array([0.5, 0.25, 0.25]), 0)
    0.375
    """
    truth = np.zeros(len(probabilities))
    truth[label] = 1
    return float(np.square(probabilities.astype(np.float64) - truth).sum())


def confusion(labels: Sequence[int], answers: Sequence[int]) -> np.ndarray:
    """How often each class (row) was answered by each (column): K x K int64, K one more than the largest number."""
    count = 1 + max([-1, *labels, *answers])
    matrix = np.zeros((count, count), np.int64)
    np.add.at(matrix, (np.asarray(labels, np.int64), np.asarray(answers, np.int64)), 1)
    return matrix


def recalls(matrix: np.ndarray) -> np.ndarray:
    """The share of each class that was found, of the classes that there are in the truth (confusion's diagonal by its
    rows)."""
    rows = matrix.sum(axis=1)
    return np.diag(matrix)[rows > 0] / rows[rows > 0]


def macro_f1(matrix: np.ndarray) -> float:
    """The mean over classes of F1 = 2 TP / (2 TP + FP + FN), of those that occur in the truth or among the answers."""
    hits, sums = np.diag(matrix), matrix.sum(axis=0) + matrix.sum(axis=1)
    return float((2 * hits[sums > 0] / sums[sums > 0]).mean()) if sums.any() else float("nan")


def worst_confusion(matrix: np.ndarray) -> float:
    """The largest share of a class that was taken for one and the same other class."""
    rows = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(rows, 1)
    return float((shares - np.diag(np.diag(shares))).max()) if matrix.size else float("nan")


def gap_recovered(coloured: float, grey: float, truth: float) -> float:
    """How much of what a classifier loses on grey pictures comes back with their colours: (accuracy on the coloured
    pictures - on the grey ones) / (on the true ones - on the grey ones). 0: no better than grey, 1: as the truth, below
    0: the colours mislead. NaN where the classifier loses nothing on grey pictures, as there is no gap then.

    >>> gap_recovered(0.5, 0.25, 0.75), gap_recovered(0.2, 0.3, 0.3)
    (0.5, nan)
    """
    return (coloured - grey) / (truth - grey) if truth > grey else float("nan")


def gap_interval(counts: np.ndarray) -> tuple[float, float, float]:
    """The 95 % interval of `gap_recovered` over photographs, and the share of worlds that have no gap. `counts`: G x 3,
    how many pictures of each photograph are known when coloured, grey and true.

    A world is G photographs drawn with replacement (2000 worlds, of a seed of their own). Those without a gap between
    truth and grey say nothing; where they are more than one in twenty the interval is NaN, since what it left out would
    be its own tail. It is NaN too for a single photograph.
    """
    groups = len(counts)
    drawn = generator(1, "gap", groups).multinomial(groups, np.full(groups, 1 / groups), size=WORLDS) @ counts
    values = np.array([gap_recovered(*world) for world in drawn.tolist()])
    without = float(np.isnan(values).mean())
    if groups < 2 or without > WITHOUT:
        return float("nan"), float("nan"), without
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return float(low), float(high), without
