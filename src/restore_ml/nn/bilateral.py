"""The joint bilateral filter: smooths values where a guide picture is smooth, and stops at the guide's edges."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

STRIP = 2**18
"""Numbers that a strip of rows may hold on a processor, so that it stays in the cache over all shifts."""


def joint_bilateral(values: Tensor, guide: Tensor, radius: int, sigma_space: float, sigma_range: float,
                    iterations: int = 1) -> Tensor:
    """Filter `values` (N x C x H x W) guided by `guide` (N x 1 x H x W); float32, the shape of `values`.

    out_p = sum_q exp(-|p - q|^2 / 2 sigma_space^2 - (guide_p - guide_q)^2 / 2 sigma_range^2) values_q / (sum of the
    weights) over the square window of `radius` pixels, border mirrored about its edge. `sigma_range` in the guide's
    units (infinite: a Gaussian blur). Petschnigg et al., SIGGRAPH 2004, equation 3; one shifted strip of rows at a
    time, so memory stays that of a few pictures.
    """
    values, guide = values.float(), guide.float()
    height, width = guide.shape[-2:]
    around = pad_symmetric(guide, radius)
    rows = max(1, STRIP // (width * len(values) * (values.shape[1] + 3))) if values.device.type == "cpu" else height
    for _ in range(iterations):
        padded, out = pad_symmetric(values, radius), torch.empty_like(values)
        for top in range(0, height, rows):
            here = guide[..., top : top + rows, :]
            weight, norm = torch.empty_like(here), torch.zeros_like(here)
            total = torch.zeros_like(out[..., top : top + rows, :])
            for dy in range(top, top + 2 * radius + 1):
                for dx in range(2 * radius + 1):
                    there = (..., slice(dy, dy + here.shape[-2]), slice(dx, dx + width))
                    distance = ((dy - top - radius) ** 2 + (dx - radius) ** 2) / (2 * sigma_space**2)
                    torch.sub(here, around[there], out=weight)
                    weight.square_().mul_(-1 / (2 * sigma_range**2)).sub_(distance).exp_()
                    total.addcmul_(weight, padded[there])
                    norm += weight
            torch.div(total, norm, out=out[..., top : top + rows, :])
        values = out
    return values


def pad_symmetric(picture: Tensor, amount: int) -> Tensor:
    """Extend ... x H x W on all sides by mirroring about the border's edge (numpy's `symmetric`), by any amount."""
    rows, columns = (torch.from_numpy(np.pad(np.arange(size), amount, mode="symmetric")).to(picture.device)
                     for size in picture.shape[-2:])
    return picture.index_select(-2, rows).index_select(-1, columns)
