"""Boxes against boxes: overlaps, which found box is which true one, average precision.

Boxes are rows (left, top, right, bottom) of edges in pixels; a row of zeros is no box.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


def overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The area in common by the area of both, of each box of N x 4 with each of M x 4: N x M float64 in [0, 1].

    >>> overlaps(np.array([[0, 0, 4, 4]]), np.array([[2, 0, 6, 4], [4, 4, 5, 5]])).round(3).tolist()
    [[0.333, 0.0]]
    """
    one, other = (np.asarray(boxes, np.float64).reshape(-1, 4) for boxes in (one, other))
    start = np.maximum(one[:, None, :2], other[None, :, :2])
    end = np.minimum(one[:, None, 2:], other[None, :, 2:])
    common = np.clip(end - start, 0, None).prod(2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1) for boxes in (one, other)]
    union = areas[0][:, None] + areas[1][None] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def assigned(boxes: np.ndarray, scores: np.ndarray, truth: np.ndarray, least: float = 0.5) -> np.ndarray:
    """For each found box the row of the true box that it is, -1 for a false one (N int64).

    As the Pascal VOC challenge counts (Everingham et al., IJCV 2010): boxes come by falling score (of equal ones the
    first); each is held against the true box that it overlaps most, and is right if that is at least `least` and no
    box before it had the same.
    """
    found = np.full(len(boxes), -1, np.int64)
    if not len(truth):
        return found
    shared = overlaps(boxes, truth)
    best, taken = shared.argmax(axis=1), np.zeros(len(truth), bool)
    for number in np.argsort(-np.asarray(scores, np.float64), kind="stable"):
        if shared[number, best[number]] >= least and not taken[best[number]]:
            found[number] = best[number]
            taken[best[number]] = True
    return found


def average_precision(scores: np.ndarray, right: np.ndarray, count: int) -> float:
    """The area below precision over recall, precision at each recall being the largest at that or a larger one (VOC
    since 2010). `scores` and `right` (bool) of all found boxes, `count` true ones; NaN where there is none.

    >>> average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 2)  # 1/2 x 1 + 1/2 x 2/3
    0.8333333333333333
    """
    if not count:
        return float("nan")
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    hits = np.cumsum(np.asarray(right, bool)[order])
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((envelope * np.diff(hits, prepend=0)).sum() / count)


@dataclass(frozen=True)
class Detections:
    """What was found in a picture and what is there: boxes with class numbers, those found with scores."""

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    true_boxes: np.ndarray
    true_labels: np.ndarray

    def assigned(self, least: float = 0.5) -> np.ndarray:
        """`assigned` within each class; rows of `true_boxes`."""
        found = np.full(len(self.boxes), -1, np.int64)
        for label in np.unique(self.labels):
            own, true = np.flatnonzero(self.labels == label), np.flatnonzero(self.true_labels == label)
            rows = assigned(self.boxes[own], self.scores[own], self.true_boxes[true], least)
            found[own[rows >= 0]] = true[rows[rows >= 0]]
        return found


def mean_average_precision(pictures: Iterable[Detections], least: float = 0.5) -> float:
    """The mean of the average precision over the classes that occur in the truth; boxes of all pictures together."""
    right: dict[int, list[np.ndarray]] = {}
    scores: dict[int, list[np.ndarray]] = {}
    counts: dict[int, int] = {}
    for picture in pictures:
        hit = picture.assigned(least) >= 0
        for label in np.unique(picture.labels):
            own = picture.labels == label
            right.setdefault(int(label), []).append(hit[own])
            scores.setdefault(int(label), []).append(picture.scores[own])
        for label, count in zip(*np.unique(picture.true_labels, return_counts=True), strict=True):
            counts[int(label)] = counts.get(int(label), 0) + int(count)
    parts = [average_precision(_joined(scores.get(label, [])), _joined(right.get(label, [])), count)
             for label, count in sorted(counts.items())]
    return float(np.mean(parts)) if parts else float("nan")


def f1(hits: int, found: int, true: int) -> float:
    """2 TP / (2 TP + FP + FN); 1 where there is nothing and nothing was found.

    >>> f1(1, 2, 2), f1(0, 0, 0)
    (0.5, 1.0)
    """
    return 2 * hits / (found + true) if found + true else 1.0


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0)
