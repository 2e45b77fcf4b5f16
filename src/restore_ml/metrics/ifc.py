"""Information fidelity criterion (Sheikh, Bovik, de Veciana 2005), on a pyramid made in the frequency domain.

reading: the original filters with the taps `sp5`; ours is a steerable pyramid of 4 levels with half-cosine rings in
log2 of the radius and angular cos^5, of which the two axis-aligned orientations of each level are used, blocks at the
border included. Its figures rank as the original's do, but are not to be compared with published ones: the name is
`ifc_freq`.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from restore_ml.metrics.fidelity import Array, same_shape

_LEVELS = 4
_BLOCK = 3
_LEAST_SIDE = 96
"""So that the coarsest band has some blocks to tell a covariance from."""


def ifc_freq(truth: Array, restored: Array) -> float:
    """IFC in bits per pixel of `restored` against `truth`, H x W grey (or luma); higher is better, 0 for no relation.

    Not symmetric, and very large for equal pictures (the distortion's variance is kept from 0). Unchanged by a factor
    common to both pictures and by a constant added to one. Raises `ValueError` for sides below 96 pixels.
    """
    same_shape(truth, restored)
    if truth.ndim != 2 or min(truth.shape) < _LEAST_SIDE:
        raise ValueError(f"IFC needs grey pictures of at least {_LEAST_SIDE} pixels a side, not {truth.shape}.")
    total = 0.0
    for level, (reference, distorted) in enumerate(zip(_bands(truth), _bands(restored), strict=True)):
        window = 2 ** (_LEVELS - level // 2) + 1
        total += _information(reference, distorted, window)
    return total / truth.size


def _ring(radius: Array, cut: float) -> tuple[Array, Array]:
    """Low-pass and high-pass factor with an octave of transition from `cut` / 2 to `cut` (power complementary)."""
    octave = np.clip(np.log2(np.maximum(radius, 1e-12) / cut), -1, 0)
    return np.cos(np.pi / 2 * (octave + 1)), np.sin(np.pi / 2 * (octave + 1))


def _bands(picture: Array) -> list[Array]:
    """The vertical and the horizontal band of each level, the finest first, float64; each level half as large."""
    spectrum = np.fft.fftshift(np.fft.fft2(np.asarray(picture, np.float64)))
    spectrum = spectrum * _ring(_polar(spectrum.shape)[0], 1.0)[0]
    bands = []
    for _ in range(_LEVELS):
        radius, angle = _polar(spectrum.shape)
        low, high = _ring(radius, 0.5)
        for direction in (0.0, np.pi / 2):
            oriented = spectrum * high * np.cos(angle - direction) ** 5 * -1j
            bands.append(np.fft.ifft2(np.fft.ifftshift(oriented)).real)
        spectrum = _centre(spectrum * low)
    return bands


def _polar(shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Radius (1 at the Nyquist frequency of an axis) and angle of a centred spectrum."""
    axes = [(np.arange(length) - length // 2) / (length / 2) for length in shape]
    y, x = np.meshgrid(*axes, indexing="ij")
    return np.hypot(x, y), np.arctan2(y, x)


def _centre(spectrum: Array) -> Array:
    """The inner half of a centred spectrum, scaled so that the pictures keep their values."""
    halves = [math.ceil(length / 2) for length in spectrum.shape]
    places = [slice(length // 2 - half // 2, length // 2 - half // 2 + half)
              for length, half in zip(spectrum.shape, halves, strict=True)]
    inner = spectrum[places[0], places[1]]
    return inner * (inner.size / spectrum.size)


def _information(reference: Array, distorted: Array, window: int) -> float:
    """Bits that the distorted band shares with the reference: Gaussian scale mixture on blocks of 3 x 3."""
    rows, columns = (length // _BLOCK * _BLOCK for length in reference.shape)
    reference, distorted = reference[:rows, :columns], distorted[:rows, :columns]
    around = np.lib.stride_tricks.sliding_window_view(reference, (_BLOCK, _BLOCK)).reshape(-1, _BLOCK**2)
    covariance = np.cov(around, rowvar=False, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    kept = values > max(values.max(), 0) * 1e-12
    values, vectors = values[kept], vectors[:, kept]
    blocks = reference.reshape(rows // _BLOCK, _BLOCK, columns // _BLOCK, _BLOCK).transpose(0, 2, 1, 3)
    turned = blocks.reshape(*blocks.shape[:2], -1) @ vectors
    scale = (turned**2 / values).sum(axis=-1) / _BLOCK**2

    def mean(plane: Array) -> Array:
        return cv2.blur(plane, (window, window), borderType=cv2.BORDER_REFLECT)[1::_BLOCK, 1::_BLOCK]

    mean_r, mean_d = mean(reference), mean(distorted)
    var_r = np.maximum(mean(reference * reference) - mean_r**2, 0)
    var_d = np.maximum(mean(distorted * distorted) - mean_d**2, 0)
    cov = mean(reference * distorted) - mean_r * mean_d
    gain = np.maximum(cov / (var_r + 1e-15), 0)
    noise = np.maximum(np.where(gain > 0, var_d - gain * cov, var_d), 1e-15)
    ratio = gain**2 * scale / (noise + 1e-10)
    return 0.5 * float(np.log2(1 + ratio[..., None] * values).sum())
