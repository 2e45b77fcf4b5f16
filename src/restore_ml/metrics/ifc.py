"""Information fidelity criterion (Sheikh, Bovik, de Veciana 2005), on a pyramid made in the frequency domain.

reading: the original filters with the taps `sp5`; ours is a steerable pyramid with half-cosine rings in log2 of the
radius and angular cos^5, of which the two axis-aligned orientations of each level are used, blocks at the border
included. Its figures rank as the original's do, but are not to be compared with published ones: the name is `ifc_freq`.

The original has 4 levels, whose coarsest needs sides of 96 pixels. Of smaller pictures `ifc_freq3` is the sum over the
3 finest levels, with the windows that these have among four: a figure of its own, which is what `ifc_freq` has without
its coarsest level. A small picture is not padded to 96 pixels: blocks of mirrored pixels would count twice.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

from restore_ml.metrics.fidelity import Array, same_shape

_WINDOWS = (17, 9, 5, 3)
"""Sides of the windows of each level, the finest first."""
_BLOCK = 3
_LEAST = 6
"""Of the coarsest level's bands half as many pixels a side at least, so that there are blocks to tell a covariance
from: 96 pixels for 4 levels, 48 for 3."""


def ifc_freq(truth: Array, restored: Array, levels: int = 4) -> float:
    """IFC in bits per pixel of `restored` against `truth`, H x W grey (or luma); higher is better, 0 for no relation.

    `levels`: of the pyramid, 1 to 4; with 3 the figure is called `ifc_freq3`. Not symmetric, and very large for equal
    pictures (the distortion's variance is kept from 0). Unchanged by a factor common to both pictures and by a constant
    added to one. Raises `ValueError` for sides below `least_side(levels)` pixels.
    """
    same_shape(truth, restored)
    if truth.ndim != 2 or min(truth.shape) < least_side(levels):
        raise ValueError(f"IFC of {levels} levels needs grey pictures of at least {least_side(levels)} pixels a side, "
                         f"not {truth.shape}.")
    total = 0.0
    for level, (reference, distorted) in enumerate(zip(_bands(truth, levels), _bands(restored, levels), strict=True)):
        total += _information(reference, distorted, _WINDOWS[level // 2])
    return total / truth.size


def least_side(levels: int) -> int:
    """Pixels that a picture's sides must have.

    >>> least_side(4), least_side(3)
    (96, 48)
    """
    return _LEAST * 2**levels


def _ring(radius: Array, cut: float) -> tuple[Array, Array]:
    """Low-pass and high-pass factor with an octave of transition from `cut` / 2 to `cut` (power complementary)."""
    octave = np.clip(np.log2(np.maximum(radius, 1e-12) / cut), -1, 0)
    return np.cos(np.pi / 2 * (octave + 1)), np.sin(np.pi / 2 * (octave + 1))


def _bands(picture: Array, levels: int) -> list[Array]:
    """The vertical and the horizontal band of each level, the finest first, float64; each level half as large."""
    shape = picture.shape
    spectrum = np.fft.rfft2(np.asarray(picture, np.float64)) * _filters(shape)[0]
    bands = []
    for _ in range(levels):
        _, low, oriented = _filters(shape)
        bands += [np.fft.irfft2(-1j * spectrum * mask, shape) for mask in oriented]
        spectrum = spectrum * low
        shape, before = tuple(math.ceil(length / 2) for length in shape), shape
        spectrum = _centre(spectrum, shape) * (math.prod(shape) / math.prod(before))
    return bands


@lru_cache(maxsize=32)
def _filters(shape: tuple[int, int]) -> tuple[Array, Array, list[Array]]:
    """Over the frequencies of `rfft2` of an H x W picture: what takes away the corners beyond the Nyquist frequency of
    an axis, the low-pass of a level, and its high-pass in the vertical and in the horizontal direction."""
    height, width = shape
    y, x = 2 * np.fft.fftfreq(height)[:, None], 2 * np.fft.rfftfreq(width)[None]
    radius, angle = np.hypot(y, x), np.arctan2(y, x)
    low, high = _ring(radius, 0.5)
    return _ring(radius, 1.0)[0], low, [high * np.cos(angle - direction) ** 5 for direction in (0.0, np.pi / 2)]


def _centre(spectrum: Array, shape: tuple[int, int]) -> Array:
    """The lower half of the frequencies of `rfft2`: those of pictures of `shape`."""
    below, above = shape[0] // 2, shape[0] - shape[0] // 2
    return np.concatenate([spectrum[:above], spectrum[len(spectrum) - below:]])[:, :shape[1] // 2 + 1]


def _information(reference: Array, distorted: Array, window: int) -> float:
    """Bits that the distorted band shares with the reference: Gaussian scale mixture on blocks of 3 x 3."""
    rows, columns = (length // _BLOCK * _BLOCK for length in reference.shape)
    reference, distorted = reference[:rows, :columns], distorted[:rows, :columns]
    values, vectors = np.linalg.eigh(_covariance(reference))
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


def _covariance(band: Array) -> Array:
    """Of the 9 values of the blocks of 3 x 3 at every place, 9 x 9."""
    rows, columns = (length - _BLOCK + 1 for length in band.shape)
    around = np.stack([band[top:top + rows, left:left + columns].ravel()
                       for top in range(_BLOCK) for left in range(_BLOCK)])
    around -= around.mean(axis=1, keepdims=True)
    return around @ around.T / around.shape[1]
