"""Segmentation: overlap of regions, of classes and of instances. Maps are H x W; the truth comes first.

Instances are whole numbers, 0 background. Source: the method cards, 1.11.
"""

from __future__ import annotations

import numpy as np

from restore_ml.metrics.fidelity import same_shape

Array = np.ndarray

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""Of intersection over union, in the Data Science Bowl 2018: 0.5, 0.55 ... 0.95."""


def dice(truth: Array, found: Array) -> float:
    """2 |both| / (|truth| + |found|) of two regions (bool); 1 where both are empty."""
    same_shape(truth, found)
    total = int(truth.sum()) + int(found.sum())
    return 2 * int((truth & found).sum()) / total if total else 1.0


def iou(truth: Array, found: Array) -> float:
    """|both| / |either| of two regions (bool); 1 where both are empty."""
    same_shape(truth, found)
    either = int((truth | found).sum())
    return int((truth & found).sum()) / either if either else 1.0


def precision(truth: Array, found: Array) -> float:
    """The share of what was found (bool) that is right; NaN where nothing was."""
    same_shape(truth, found)
    return float(truth[found].mean()) if found.any() else float("nan")


def recall(truth: Array, found: Array) -> float:
    """The share of the truth (bool) that was found; NaN where there is none."""
    return precision(found, truth)


def accuracy(truth: Array, found: Array) -> float:
    """The share of pixels whose class is right."""
    same_shape(truth, found)
    return float((truth == found).mean())


def mean_iou(truth: Array, found: Array, classes: int) -> float:
    """Mean over the classes 0 ... classes - 1 that are in either map of their intersection over union."""
    present = [number for number in range(classes) if (truth == number).any() or (found == number).any()]
    return float(np.mean([iou(truth == number, found == number) for number in present]))


def overlaps(truth: Array, found: Array) -> tuple[Array, Array, Array]:
    """Pixels that each true instance shares with each found one (T x F), and the areas of either (T, F).

    Instances are taken in the order of their numbers, which may have gaps.
    """
    same_shape(truth, found)
    true_numbers, true_places = np.unique(truth, return_inverse=True)
    found_numbers, found_places = np.unique(found, return_inverse=True)
    counts = np.zeros((len(true_numbers), len(found_numbers)), np.int64)
    np.add.at(counts, (true_places.ravel(), found_places.ravel()), 1)
    rows, columns = true_numbers != 0, found_numbers != 0
    return counts[rows][:, columns], counts[rows].sum(axis=1), counts[:, columns].sum(axis=0)


def aggregated_jaccard(truth: Array, found: Array) -> float:
    """AJI (Kumar et al., IEEE TMI 2017): each true instance goes with the found one of the largest intersection over
    union; the sum of intersections, divided by the sum of unions and of the areas that went with nothing.

    A found instance may go with several true ones. 1 where both maps are empty.
    """
    shared, true_areas, found_areas = overlaps(truth, found)
    if not len(true_areas) or not len(found_areas):
        return 1.0 if len(true_areas) == len(found_areas) else 0.0
    unions = true_areas[:, None] + found_areas - shared
    best = (shared / unions).argmax(axis=1)
    rows = np.flatnonzero(shared[np.arange(len(best)), best])
    used = best[rows]
    unmatched = found_areas.sum() - found_areas[np.unique(used)].sum() + true_areas.sum() - true_areas[rows].sum()
    return float(shared[rows, used].sum() / (unions[rows, used].sum() + unmatched))


def bowl_precision(truth: Array, found: Array) -> float:
    """The score of the Data Science Bowl 2018: the mean over THRESHOLDS of TP / (TP + FP + FN), where a true and a
    found instance match whose intersection over union is above the threshold. 1 where both maps are empty."""
    shared, true_areas, found_areas = overlaps(truth, found)
    total = len(true_areas) + len(found_areas)
    if not total:
        return 1.0
    ratios = shared / (true_areas[:, None] + found_areas - shared)
    hits = [int((ratios > threshold).sum()) for threshold in THRESHOLDS]  # above a half no two share a partner
    return float(np.mean([hit / (total - hit) for hit in hits]))


def boundary_f1(truth: Array, found: Array, reach: float = 2.0) -> float:
    """Harmonic mean of the shares of found outlines near true ones and of true ones near found ones: within `reach`
    pixels. Outlines are the innermost pixels of instances. 1 where there are none, 0 where one map alone has some."""
    from scipy.ndimage import distance_transform_edt
    from skimage.segmentation import find_boundaries

    same_shape(truth, found)
    lines = [find_boundaries(instances, mode="inner") for instances in (truth, found)]
    if not all(line.any() for line in lines):
        return float(lines[0].any() == lines[1].any())
    near = [distance_transform_edt(~line) <= reach for line in lines]
    recall, precision = lines[0][near[1]].sum() / lines[0].sum(), lines[1][near[0]].sum() / lines[1].sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0
