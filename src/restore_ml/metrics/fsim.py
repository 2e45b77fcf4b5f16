"""Feature similarity (Zhang, Zhang, Mou and Zhang, TIP 20(8), 2011) of grey pictures.

Phase congruency is that of Kovesi's `phasecong2`, with one ratio over all orientations; constants are those of the
released program (card 1.5 of the cross-domain cards).
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

from restore_ml.metrics.fidelity import Array, same_shape

_SCALES, _ORIENTATIONS = 4, 4
_LONGEST, _SIGMA_ON_F = 6.0, 0.55
"""Wavelength in pixels of the finest scale (each next one is twice as long), and the filters' width."""
_SPREAD = math.pi / _ORIENTATIONS / 1.2
_NOISE, _LEAST = 2.0, 1e-4
_T1, _T2 = 0.85, 160.0
_SCHARR = np.array([[3, 0, -3], [10, 0, -10], [3, 0, -3]]) / 16


def fsim(a: Array, b: Array) -> float:
    """FSIM of two H x W grey pictures with values in [0, 255] (`grey`); symmetric, 1 for equal ones.

    Raises `ValueError` for other shapes.
    """
    same_shape(a, b)
    if a.ndim != 2:
        raise ValueError(f"FSIM is of grey pictures, H x W, not {a.shape}.")
    maps = []
    for picture in (a, b):
        small = _smaller(picture.astype(np.float64))
        slopes = [cv2.filter2D(small, cv2.CV_64F, kernel, borderType=cv2.BORDER_CONSTANT)
                  for kernel in (_SCHARR, _SCHARR.T)]
        maps.append((phase_congruency(small), np.hypot(*slopes)))
    (phase, slope), (other_phase, other_slope) = maps
    weight = np.maximum(phase, other_phase)
    likeness = _likeness(phase, other_phase, _T1) * _likeness(slope, other_slope, _T2)
    total = float(weight.sum())
    return float((likeness * weight).sum()) / total if total else 1.0


def grey(picture: Array) -> Array:
    """BT.601 luma in [0, 255], H x W float64, not rounded, of an 8-bit picture H x W x 3."""
    return cv2.transform(picture.astype(np.float64), np.array([[0.299, 0.587, 0.114]]))


def phase_congruency(picture: Array) -> Array:
    """How well the phases of all scales agree at each place of an H x W float64 picture, in [0, 1]."""
    spectrum = np.fft.fft2(picture)
    energy, amplitude = np.zeros(picture.shape), np.zeros(picture.shape)
    for filters, power, overlap in _bank(*picture.shape):
        responses = np.fft.ifft2(spectrum * filters)
        amplitudes = np.abs(responses)
        even, odd = responses.real, responses.imag
        mean_even, mean_odd = even.sum(0), odd.sum(0)
        length = np.hypot(mean_even, mean_odd) + _LEAST
        mean_even, mean_odd = mean_even / length, mean_odd / length
        agreed = (even * mean_even + odd * mean_odd - np.abs(even * mean_odd - odd * mean_even)).sum(0)
        noise = float(np.median(amplitudes[0] ** 2)) / math.log(2) / power
        tau = math.sqrt(noise * overlap)
        threshold = (tau * math.sqrt(math.pi / 2) + _NOISE * math.sqrt((2 - math.pi / 2) * tau**2)) / 1.7
        energy += np.maximum(agreed - threshold, 0)
        amplitude += amplitudes.sum(0)
    return np.divide(energy, amplitude, out=np.zeros_like(energy), where=amplitude > 0)


def _likeness(a: Array, b: Array, constant: float) -> Array:
    return (2 * a * b + constant) / (a**2 + b**2 + constant)


def _smaller(picture: Array) -> Array:
    """Averaged and sampled so that the shorter side comes near 256 pixels."""
    from scipy.ndimage import uniform_filter

    factor = max(1, math.floor(min(picture.shape) / 256 + 0.5))
    if factor == 1:
        return picture
    origin = factor % 2 - 1  # windows of an even side reach one pixel further ahead than back, as MATLAB has them
    return np.ascontiguousarray(uniform_filter(picture, factor, mode="constant", origin=origin)[::factor, ::factor])


@lru_cache(maxsize=8)
def _bank(height: int, width: int) -> list[tuple[Array, float, float]]:
    """For each orientation: the filters of all scales (S x H x W, over frequencies as `fft2` orders them), the power of
    the finest one, and what its noise's power is multiplied with to be half the noise's energy."""
    down, along = np.meshgrid(_frequencies(height), _frequencies(width), indexing="ij")
    radius = np.fft.ifftshift(np.hypot(along, down))
    angle = np.fft.ifftshift(np.arctan2(-down, along))
    low_pass = 1 / (1 + (radius / 0.45) ** 30)
    radius[0, 0] = 1
    rings = [np.exp(-np.log(radius * _LONGEST * 2**scale) ** 2 / (2 * math.log(_SIGMA_ON_F) ** 2)) * low_pass
             for scale in range(_SCALES)]
    bank = []
    for orientation in range(_ORIENTATIONS):
        turned = angle - orientation * math.pi / _ORIENTATIONS
        away = np.abs(np.arctan2(np.sin(turned), np.cos(turned)))
        filters = np.stack(rings) * np.exp(-away**2 / (2 * _SPREAD**2))
        filters[:, 0, 0] = 0
        spatial = np.fft.ifft2(filters).real * math.sqrt(height * width)
        pairs = sum(float((spatial[i] * spatial[j]).sum()) for i in range(_SCALES) for j in range(i))
        bank.append((filters, float((filters[0] ** 2).sum()), float((spatial**2).sum()) + 2 * pairs))
    return bank


def _frequencies(length: int) -> Array:
    """From -0.5, as Kovesi has them: an odd length reaches 0.5 on both sides."""
    return (np.arange(length) - length // 2) / (length - length % 2)
