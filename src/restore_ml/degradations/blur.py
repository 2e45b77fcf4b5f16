"""Blurs of numpy pictures (H x W or H x W x C): Gaussian, motion, and blur followed by decimation (`BD`).

uint8 pictures are computed in float64, rounded half away from zero and clipped; floats stay floats and are not clipped.
"""

from __future__ import annotations

import math

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.degradations.resize import modcrop

BORDERS = {"reflect": "mirror", "symmetric": "reflect", "edge": "nearest"}
"""numpy's names for padding -> scipy's. `reflect` does not repeat the edge pixel, `symmetric` does."""


def gaussian_kernel(size: int, sigma: float) -> np.ndarray:
    """A Gaussian sampled at `size` whole positions around 0, normalised to sum 1 (1-D, float64).

    Raises `UserError` unless `size` is odd and positive and `sigma` positive.
    """
    if size < 1 or size % 2 == 0 or not (math.isfinite(sigma) and sigma > 0):
        raise UserError(f"A Gaussian kernel needs an odd size and a positive sigma, not size {size} and sigma {sigma}.")
    positions = np.arange(size) - size // 2
    values = np.exp(-0.5 * (positions / sigma) ** 2)
    return values / values.sum()


def gaussian_blur(image: np.ndarray, sigma: float, size: int | None = None, border: str = "reflect") -> np.ndarray:
    """Blur with a size x size Gaussian (default: 4 sigma to each side)."""
    from scipy import ndimage  # here: who only restores does not wait for it

    kernel = gaussian_kernel(size if size is not None else 2 * math.ceil(4 * sigma) + 1, sigma)
    values = image.astype(np.float64) if image.dtype == np.uint8 else image
    for axis in (0, 1):
        values = ndimage.correlate1d(values, kernel.astype(values.dtype), axis, mode=_mode(border))
    return _like(values, image)


def blur_decimate(image: np.ndarray, scale: int, sigma: float = 1.6, size: int = 13,
                  border: str = "reflect") -> np.ndarray:
    """`BD`: crop to a multiple of `scale`, blur with a Gaussian, keep every `scale`-th pixel from pixel 0 on.

    The kept pixels sit at rows 0, s, 2s ..., not at the centres of s x s blocks: against `imresize` the result is
    shifted by (s - 1) / 2 pixels. Source: method card, section 3 (defaults of the video literature for s = 4).
    """
    return gaussian_blur(modcrop(image, scale), sigma, size, border)[::scale, ::scale].copy()


def motion_kernel(length: float, angle: float) -> np.ndarray:
    """A straight motion blur: the point spread of a point that moves `length` pixels at `angle` degrees
    (0 = along the row, counter-clockwise) at constant speed; odd side, sum 1, symmetric about its centre (float64).

    reading: the line is sampled densely and each sample is spread bilinearly over its four pixels.
    Raises `UserError` unless 0 <= length <= 1024.
    """
    if not 0 <= length <= 1024 or not math.isfinite(angle):
        raise UserError(f"A motion blur needs a length from 0 to 1024 pixels and an angle, not {length} and {angle}.")
    radius = math.ceil(length / 2) + 1
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1))
    count = 16 * math.ceil(length) + 1
    along = (np.arange(count) + 0.5) / count * length - length / 2
    rows = radius - along * math.sin(math.radians(angle))
    columns = radius + along * math.cos(math.radians(angle))
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = rows - top, columns - left
    corners = ((0, 0, (1 - down) * (1 - right)), (0, 1, (1 - down) * right),
               (1, 0, down * (1 - right)), (1, 1, down * right))
    for row, column, weight in corners:
        np.add.at(kernel, (np.minimum(top + row, 2 * radius), np.minimum(left + column, 2 * radius)), weight)
    return kernel / kernel.sum()


def convolve(image: np.ndarray, kernel: np.ndarray, border: str = "reflect") -> np.ndarray:
    """Convolve every channel with a 2-D kernel of odd sides."""
    from scipy import ndimage

    if kernel.ndim != 2 or kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
        raise UserError(f"A blur kernel must be 2-D with odd sides; its shape is {kernel.shape}.")
    values = image.astype(np.float64) if image.dtype == np.uint8 else image
    full = kernel.reshape(*kernel.shape, *[1] * (image.ndim - 2))
    return _like(ndimage.convolve(values, full, mode=_mode(border)), image)


def motion_blur(image: np.ndarray, length: float, angle: float, border: str = "reflect") -> np.ndarray:
    """Blur with `motion_kernel(length, angle)`."""
    return convolve(image, motion_kernel(length, angle), border)


def _mode(border: str) -> str:
    if border not in BORDERS:
        raise UserError(f"The border {border!r} of a blur is none of {', '.join(BORDERS)}.")
    return BORDERS[border]


def _like(values: np.ndarray, image: np.ndarray) -> np.ndarray:
    return np.floor(np.clip(values, 0, 255) + 0.5).astype(np.uint8) if image.dtype == np.uint8 else values
