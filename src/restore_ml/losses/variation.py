"""Total variation of pictures (N x C x H x W), in the units of their values."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def anisotropic(x: Tensor) -> Tensor:
    """Mean |difference to the right| + mean |difference downwards|."""
    return (x[..., 1:] - x[..., :-1]).abs().mean() + (x[..., 1:, :] - x[..., :-1, :]).abs().mean()


def isotropic(x: Tensor, eps: float = 1e-3) -> Tensor:
    """Mean sqrt(dx^2 + dy^2 + eps^2) over the pixels that have both neighbours (Rudin, Osher, Fatemi, 1992)."""
    right, down = x[..., :-1, 1:] - x[..., :-1, :-1], x[..., 1:, :-1] - x[..., :-1, :-1]
    return (right.square() + down.square() + eps ** 2).sqrt().mean()


def around_hole(x: Tensor, mask: Tensor) -> Tensor:
    """Variation inside the hole widened by one pixel, divided by the number of all values (partial convolution, Liu
    et al., ECCV 2018, equation of L_tv): pairs count when both pixels lie in the region. `mask`: N x 1 x H x W, 1 =
    hole.
    """
    region = F.max_pool2d(mask, 3, 1, 1)
    right = (x[..., 1:] - x[..., :-1]).abs() * region[..., 1:] * region[..., :-1]
    down = (x[..., 1:, :] - x[..., :-1, :]).abs() * region[..., 1:, :] * region[..., :-1, :]
    return (torch.sum(right) + torch.sum(down)) / x.numel()
