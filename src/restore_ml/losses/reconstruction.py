"""Pixel losses (N x C x H x W), in part weighted by a mask (N x 1 x H x W): float32 scalars."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_l1(x: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Sum of |x - target| under the mask, divided by the number of all values, masked or not."""
    return ((x.float() - target).abs() * mask).mean()


def masked_mse(x: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Sum of squared differences under the mask (or weighted by it), divided by the number of all values."""
    return ((x.float() - target).square() * mask).mean()


def charbonnier(x: Tensor, target: Tensor, eps: float = 1e-3) -> Tensor:
    """Mean sqrt(d^2 + eps^2)."""
    return ((x.float() - target).square() + eps ** 2).sqrt().mean()


def laplacian(x: Tensor) -> Tensor:
    """x minus what is left of it after a Gaussian pyramid's step down and up again; H and W even or odd.

    Kernel (1, 4, 5, 4, 1)/20 in either direction, edges repeated, as MPRNet (Zamir et al., CVPR 2021) does it.
    """
    row = torch.tensor([0.05, 0.25, 0.4, 0.25, 0.05], dtype=x.dtype, device=x.device)
    kernel = torch.outer(row, row).expand(x.shape[1], 1, 5, 5)

    def blur(y: Tensor) -> Tensor:
        return F.conv2d(F.pad(y, (2, 2, 2, 2), mode="replicate"), kernel, groups=y.shape[1])

    with torch.autocast(x.device.type, enabled=False):
        blurred = blur(x)
        kept = torch.zeros_like(blurred)
        kept[..., ::2, ::2] = 4 * blurred[..., ::2, ::2]
        return x - blur(kept)


def edge_loss(x: Tensor, target: Tensor) -> Tensor:
    """Charbonnier distance of the two pictures' Laplacians."""
    return charbonnier(laplacian(x.float()), laplacian(target.float()))
