"""Metrics of multi-band reflectance, over the missing pixels. Bands are H x W x B float in [0, 1] (peak 1).

Each function returns NaN where the mask has no missing pixel.
"""

from __future__ import annotations

import numpy as np

from restore_ml.metrics.fidelity import Array, decibel, same_shape
from restore_ml.metrics.hole import inside


def spectra(restored: Array, truth: Array, mask: Array) -> tuple[Array, Array]:
    """Both pictures' spectra at the missing pixels, N x B float64."""
    same_shape(restored, truth)
    return inside(restored, mask).astype(np.float64), inside(truth, mask).astype(np.float64)


def rmse(restored: Array, truth: Array, mask: Array) -> float:
    """Root mean squared error over missing pixels and bands."""
    a, b = spectra(restored, truth, mask)
    return float(np.sqrt(np.mean((a - b) ** 2))) if a.size else float("nan")


def psnr_of_bands(restored: Array, truth: Array, mask: Array, peak: float = 1.0) -> list[float]:
    """PSNR in dB over the missing pixels of each band; `inf` for a band that is right."""
    a, b = spectra(restored, truth, mask)
    if not a.size:
        return [float("nan")] * truth.shape[2]
    return [decibel(float(error), peak) for error in np.mean((a - b) ** 2, axis=0)]


def correlation(restored: Array, truth: Array, mask: Array) -> float:
    """Pearson's correlation per band over the missing pixels, averaged over the bands (CC).

    A band that is constant in the restored or the true picture has no correlation and counts as 0, unless both are the
    same constant (1).
    """
    a, b = spectra(restored, truth, mask)
    if not a.size:
        return float("nan")
    equal = np.all(a == b, axis=0)
    constant = (np.ptp(a, axis=0) == 0) | (np.ptp(b, axis=0) == 0)
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    norm = np.sqrt(np.sum(a * a, axis=0) * np.sum(b * b, axis=0))
    value = np.divide(np.sum(a * b, axis=0), norm, out=np.zeros_like(norm), where=~constant & (norm > 0))
    return float(np.mean(np.where(equal, 1.0, value)))


def spectral_angle(restored: Array, truth: Array, mask: Array) -> float:
    """Mean spectral angle (SAM) in degrees over the missing pixels; zero spectra are skipped, NaN when all are."""
    a, b = spectra(restored, truth, mask)
    norm_a, norm_b = np.linalg.norm(a, axis=-1), np.linalg.norm(b, axis=-1)
    valid = (norm_a > 0) & (norm_b > 0)
    if not valid.any():
        return float("nan")
    a, b = a[valid] / norm_a[valid, None], b[valid] / norm_b[valid, None]
    # Half-angle form: exact 0 for parallel spectra, where the arc cosine of a rounded product is not.
    angle = 2 * np.arctan2(np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1))
    return float(np.degrees(angle).mean())
