"""Fidelity over the missing pixels only. Masks are H x W or H x W x 1, non-zero = missing.

Each function returns NaN where the mask has no missing pixel.
"""

from __future__ import annotations

import numpy as np

from restore_ml.evaluation.fidelity import Array, decibel, same_shape, ssim_map


def missing(mask: Array) -> Array:
    """The mask as H x W bool."""
    return (mask[..., 0] if mask.ndim == 3 else mask) > 0


def _differences(restored: Array, truth: Array, mask: Array) -> Array:
    """Restored minus truth at the missing pixels, N x C (or N) float64."""
    same_shape(restored, truth)
    hole = missing(mask)
    return restored[hole].astype(np.float64) - truth[hole].astype(np.float64)


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


def ssim_hole(restored: Array, truth: Array, mask: Array, peak: float = 255.0) -> float:
    """Mean of the full-size SSIM map (channels averaged) over the missing pixels."""
    hole = missing(mask)
    return float(ssim_map(restored, truth, peak)[hole].mean()) if hole.any() else float("nan")


def seam_error(restored: Array, truth: Array, mask: Array) -> float:
    """Mean absolute error of the gradient across the hole's contour, in the pictures' units.

    Over all pairs of 4-neighbours of which exactly one is missing: |(difference in restored) - (in truth)|. NaN where
    there is no contour.
    """
    same_shape(restored, truth)
    hole = missing(mask)
    error = restored.astype(np.float64) - truth.astype(np.float64)
    values = []
    for axis in (0, 1):
        contour = np.diff(hole.astype(np.int8), axis=axis) != 0
        values.append(np.abs(np.diff(error, axis=axis))[contour].ravel())
    joined = np.concatenate(values)
    return float(joined.mean()) if joined.size else float("nan")
