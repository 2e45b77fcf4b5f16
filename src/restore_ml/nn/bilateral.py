"""The joint bilateral filter: smooths values where a guide picture is smooth, and stops at the guide's edges."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def joint_bilateral(values: Tensor, guide: Tensor, radius: int, sigma_space: float, sigma_range: float,
                    iterations: int = 1) -> Tensor:
    """Filter `values` (N x C x H x W) guided by `guide` (N x 1 x H x W); float32, the shape of `values`.

    out_p = sum_q exp(-|p - q|^2 / 2 sigma_space^2 - (guide_p - guide_q)^2 / 2 sigma_range^2) values_q / (sum of the
    weights) over the square window of `radius` pixels, border mirrored about its edge. `sigma_range` in the guide's
    units (infinite: a Gaussian blur). Petschnigg et al., SIGGRAPH 2004, equation 3; one shifted picture at a time, so
    memory stays that of a few pictures.
    """
    values, guide = values.float(), guide.float()
    height, width = guide.shape[-2:]
    around = pad_symmetric(guide, radius)
    for _ in range(iterations):
        padded = pad_symmetric(values, radius)
        total, norm = torch.zeros_like(values), torch.zeros_like(guide)
        for dy in range(2 * radius + 1):
            for dx in range(2 * radius + 1):
                there = (..., slice(dy, dy + height), slice(dx, dx + width))
                distance = ((dy - radius) ** 2 + (dx - radius) ** 2) / (2 * sigma_space**2)
                weight = torch.exp((guide - around[there]).square() * (-1 / (2 * sigma_range**2)) - distance)
                total.addcmul_(weight, padded[there])
                norm += weight
        values = total / norm
    return values


def pad_symmetric(picture: Tensor, amount: int) -> Tensor:
    """Extend ... x H x W on all sides by mirroring about the border's edge (numpy's `symmetric`), by any amount."""
    rows, columns = (torch.from_numpy(np.pad(np.arange(size), amount, mode="symmetric")).to(picture.device)
                     for size in picture.shape[-2:])
    return picture.index_select(-2, rows).index_select(-1, columns)
