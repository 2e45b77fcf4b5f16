"""Gabor kernels and the texture maps that they give: 6 sizes x 4 directions.

Source: Li et al., Mathematical Biosciences and Engineering 19(1), 2022; the kernel's formula is the usual one, equal to
OpenCV's `getGaborKernel`; parameters are the reading of the method card `gabor_pix2pix`.
"""

from __future__ import annotations

import math
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor

from restore_ml.base.errors import UserError

SIZES = (7, 9, 11, 13, 15, 17)
DIRECTIONS = (0, 45, 90, 135)
"""In degrees."""
NORMS = ("sum", "l1", "none")


def gabor_kernel(size: int, direction: float, *, sigma: float = 1.0, wavelength: float = math.pi / 2,
                 aspect: float = 0.5, phase: float = 0.0) -> Tensor:
    """A real Gabor kernel, size x size float64: a Gaussian times a cosine across `direction` (degrees).

    `sigma` and `wavelength` in pixels, `aspect` (gamma) the Gaussian's spatial aspect ratio, `phase` in radians.
    Raises `UserError` for an even or non-positive size.
    """
    if size < 1 or size % 2 == 0:
        raise UserError(f"A Gabor kernel needs an odd size; {size} is none.")
    # OpenCV lets both axes run from + to -; with phase 0 the kernel is symmetric, so it matters for other phases only.
    axis = torch.arange(size // 2, -(size // 2) - 1, -1, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    cosine, sine = math.cos(math.radians(direction)), math.sin(math.radians(direction))
    along, across = x * cosine + y * sine, y * cosine - x * sine
    envelope = torch.exp(-(along**2 + (aspect * across) ** 2) / (2 * sigma**2))
    return envelope * torch.cos(2 * math.pi * along / wavelength + phase)


def gabor_bank() -> dict[tuple[int, int], Tensor]:
    """All 24 kernels by (size, direction), not normalised."""
    return {(size, direction): gabor_kernel(size, direction) for size in SIZES for direction in DIRECTIONS}


def normalise(kernel: Tensor, norm: str) -> Tensor:
    """Scale a kernel: `sum` divides by 1.5 times its sum (the common recipe), `l1` by its absolute sum, `none` nothing.

    At 45 and 135 degrees the sum nearly vanishes and `sum` blows the response up to saturation: this is warned of.
    Raises `UserError` for another name.
    """
    if norm not in NORMS:
        raise UserError(f"The Gabor norm {norm!r} is none of {', '.join(NORMS)}.")
    if norm == "l1":
        return kernel / kernel.abs().sum()
    if norm == "none":
        return kernel
    total = float(kernel.sum())
    if abs(total) < 0.1:
        warnings.warn(f"The sum of this Gabor kernel is {total:.4f}: divided by it, the texture saturates; "
                      "norm 'l1' does not.", stacklevel=2)
    return kernel / (1.5 * total)


def texture(grey: Tensor, kernel: Tensor) -> Tensor:
    """The response of grey pictures N x 1 x H x W in [0, 1], clipped to [0, 1].

    Correlation with a border mirrored about the outermost pixel (reflect-101), as OpenCV's `filter2D`; in float32 also
    under autocast. H and W must exceed half the kernel's size.
    """
    half = kernel.shape[-1] // 2
    with torch.autocast(grey.device.type, enabled=False):
        padded = F.pad(grey.float(), (half,) * 4, mode="reflect")
        return F.conv2d(padded, kernel.to(padded)[None, None]).clamp(0, 1)
