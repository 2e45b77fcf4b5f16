"""Metrics of colorization. ab maps are H x W x 2 in CIE Lab units (D65), RGB is uint8 H x W x 3.

Raw accuracy (AuC) and its class-balanced form are those of Zhang et al. 2016 in the mean form of the method card: the
mean over t = 0, 1, ..., 150 of the fraction of pixels whose ab error is at most t.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from restore_ml.metrics.fidelity import Array, mse, psnr, same_shape

PEAK_AB = 220.0
_THRESHOLDS = 151
_GRID = 10.0
_SIDE = 23
"""Grid nodes per axis: ab classes are the multiples of 10 in [-110, 110]."""


def psnr_ab(ab: Array, truth: Array) -> float:
    """PSNR in dB over both ab channels with peak 220; `inf` for identical maps."""
    return psnr(ab, truth, PEAK_AB)


def rmse_ab(ab: Array, truth: Array) -> float:
    """Root of the mean squared ab distance: sqrt(mean(da^2 + db^2))."""
    return float(np.sqrt(2 * mse(ab, truth)))


def ab_distance(ab: Array, truth: Array) -> Array:
    """Euclidean ab distance, H x W float64."""
    same_shape(ab, truth)
    return np.linalg.norm(ab.astype(np.float64) - truth.astype(np.float64), axis=-1)


def auc(distance: Array, weights: Array | None = None) -> float:
    """Area under the accuracy curve in [0, 1], pixels weighted by `weights` (same shape) when given.

    A pixel at distance d counts for max(0, 151 - ceil(d)) of the 151 thresholds.
    """
    share = np.clip(_THRESHOLDS - np.ceil(distance), 0, _THRESHOLDS) / _THRESHOLDS
    return float(share.mean() if weights is None else np.average(share, weights=weights))


def ab_class(ab: Array) -> Array:
    """The nearest node of the grid of step 10, H x W int in [0, 529).

    Every colour of sRGB has its nearest node among the 313 published classes, so this is the nearest of the 313.
    """
    node = np.clip(np.rint(ab.astype(np.float64) / _GRID), -11, 11).astype(np.int64) + 11
    return node[..., 0] * _SIDE + node[..., 1]


def ab_prior(truths: Iterable[Array]) -> Array:
    """Frequencies of the ab classes over true ab maps, (529,) float64, sum 1."""
    counts = np.zeros(_SIDE * _SIDE)
    for ab in truths:
        counts += np.bincount(ab_class(ab).ravel(), minlength=_SIDE * _SIDE)
    return counts / max(counts.sum(), 1.0)


def auc_balanced(ab: Array, truth: Array, prior: Array) -> float:
    """Class-balanced AuC of one picture: pixels weighted by 1 / prior of their true class (`ab_prior`).

    reading: published figures pool all pixels of a set; here the weights are normalised within the picture, so that the
    figure is one of a picture and can be resampled. Raises `ValueError` for a true class that the prior never saw.
    """
    frequency = prior[ab_class(truth)]
    if not np.all(frequency > 0):
        raise ValueError("The prior gives no weight to a colour of the truth; take it from the set that is scored.")
    return auc(ab_distance(ab, truth), 1.0 / frequency)


def colorfulness(rgb: Array) -> float:
    """Colorfulness (Hasler and Suesstrunk 2003) of RGB on 0..255, population deviations; 0 for grey."""
    red, green, blue = (rgb[..., c].astype(np.float64) for c in range(3))
    rg, yb = red - green, 0.5 * (red + green) - blue
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


def chroma_ratio(ab: Array, truth: Array) -> float:
    """Mean chroma of the output over that of the truth: below 1 desaturated, 0 grey; NaN for a truth without colour."""
    same_shape(ab, truth)
    true = float(np.linalg.norm(truth.astype(np.float64), axis=-1).mean())
    return float(np.linalg.norm(ab.astype(np.float64), axis=-1).mean() / true) if true > 0 else float("nan")


def error_of_best(results: Sequence[Array], truth: Array) -> float:
    """The least `rmse_ab` among several results of one picture."""
    return min(rmse_ab(ab, truth) for ab in results)


def variance_of_samples(results: Sequence[Array]) -> float:
    """The variance of several results of one picture at each pixel and channel (divided by their number), its mean over
    both; 0 where all are alike."""
    return float(np.stack(results).astype(np.float64).var(axis=0).mean())
