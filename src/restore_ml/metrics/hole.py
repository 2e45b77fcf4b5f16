"""Fidelity over the missing pixels only. Masks are H x W or H x W x 1, non-zero = missing.

Each function returns NaN where the mask has no missing pixel.
"""

from __future__ import annotations

import numpy as np

from restore_ml.metrics.fidelity import Array, decibel, same_shape, ssim_map


def missing(mask: Array) -> Array:
    """The mask as H x W bool."""
    return (mask[..., 0] if mask.ndim == 3 else mask) > 0


def inside(picture: Array, mask: Array) -> Array:
    """The picture's values at the missing pixels, N x C (or N)."""
    return picture.reshape(-1, *picture.shape[2:])[np.flatnonzero(missing(mask))]


def _differences(restored: Array, truth: Array, mask: Array) -> Array:
    """Restored minus truth at the missing pixels, N x C (or N) float64."""
    same_shape(restored, truth)
    return inside(restored, mask).astype(np.float64) - inside(truth, mask)


def psnr_hole(restored: Array, truth: Array, mask: Array, peak: float = 255.0) -> float:
    """PSNR in dB over the missing pixels and all channels: sum(m d^2) / (C sum m); `inf` when they are all right.

    For a composed output of hole ratio r, the whole picture's PSNR is this less 10 log10(r).
    """
    difference = _differences(restored, truth, mask)
    return decibel(float(np.mean(difference**2)), peak) if difference.size else float("nan")


def l1_hole(restored: Array, truth: Array, mask: Array, peak: float = 255.0) -> float:
    """Mean absolute difference over the missing pixels in per cent of the peak."""
    difference = _differences(restored, truth, mask)
    return float(100 * np.mean(np.abs(difference)) / peak) if difference.size else float("nan")


def l2_hole(restored: Array, truth: Array, mask: Array, peak: float = 255.0) -> float:
    """Mean squared difference over the missing pixels in per cent of the squared peak (the L2 of Context Encoders)."""
    difference = _differences(restored, truth, mask)
    return float(100 * np.mean(difference**2) / peak**2) if difference.size else float("nan")


def spread_hole(restored: Array, truth: Array, mask: Array) -> float:
    """How much the values inside the hole vary, against the truth's: the ratio of their standard deviations, each the
    root of the mean of the channels' variances. Below 1 where texture was smoothed away; NaN for a flat truth."""
    same_shape(restored, truth)
    varied, wanted = (inside(picture, mask).astype(np.float64) for picture in (restored, truth))
    if not varied.size or not wanted.var(axis=0).any():
        return float("nan")
    return float(np.sqrt(varied.var(axis=0).mean() / wanted.var(axis=0).mean()))


def ssim_hole(restored: Array, truth: Array, mask: Array, peak: float = 255.0) -> float:
    """Mean of the full-size SSIM map (channels averaged) over the missing pixels."""
    return mean_inside(ssim_map(restored, truth, peak), mask)


def mean_inside(values: Array, mask: Array) -> float:
    """Mean over the missing pixels of a map, H x W (of `ssim_map`: `ssim_hole`)."""
    values_inside = inside(values, mask)
    return float(values_inside.mean()) if values_inside.size else float("nan")


def mean_of_known(picture: Array, mask: Array) -> Array:
    """A picture of the size of `picture` that is everywhere the mean of its known pixels (of all, where none is known),
    channel by channel, as float64.

    >>> mean_of_known(np.array([[[2.0], [4.0], [9.0]]]), np.array([[0, 0, 1]])).ravel()
    array([3., 3., 3.])
    """
    known = ~missing(mask)
    mean = (picture[known] if known.any() else picture.reshape(-1, picture.shape[2])).mean(axis=0, dtype=np.float64)
    return np.broadcast_to(mean, picture.shape)


def seam_error(restored: Array, truth: Array, mask: Array) -> float:
    """Mean absolute error of the gradient across the hole's contour, in the pictures' units.

    Over all pairs of 4-neighbours of which exactly one is missing: |(difference in restored) - (in truth)|. NaN where
    there is no contour.
    """
    same_shape(restored, truth)
    hole = missing(mask)
    error = (restored.astype(np.float64) - truth).reshape(hole.size, -1)
    values = []
    for step, contour in ((hole.shape[1], hole[1:] != hole[:-1]), (1, hole[:, 1:] != hole[:, :-1])):
        rows, columns = np.nonzero(contour)
        here = rows * hole.shape[1] + columns
        values.append(np.abs(error[here + step] - error[here]).ravel())
    joined = np.concatenate(values)
    return float(joined.mean()) if joined.size else float("nan")
