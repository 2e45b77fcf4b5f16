"""Structural similarity (Wang et al. 2004) as an objective; `restore_ml.metrics.fidelity` has the metric."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE, SIGMA = 11, 1.5


def ssim(x: Tensor, y: Tensor, peak: float = 1.0) -> Tensor:
    """N x C x H x W and the same -> N: the mean over channels and the valid region, float32.

    Gaussian window 11 x 11 with sigma 1.5, K1 0.01, K2 0.03, population moments: the figure of
    `restore_ml.metrics.fidelity.ssim`. H and W are at least 11.
    """
    places = torch.arange(SIDE, dtype=torch.float32, device=x.device) - SIDE // 2
    row = torch.exp(-places.square() / (2 * SIGMA ** 2))
    row = row / row.sum()

    def mean(values: Tensor) -> Tensor:
        channels = values.shape[1]
        across = F.conv2d(values, row.expand(channels, 1, 1, SIDE), groups=channels)
        return F.conv2d(across, row[:, None].expand(channels, 1, SIDE, 1), groups=channels)

    with torch.autocast(x.device.type, enabled=False):  # differences of squares, which bf16 would round away
        x, y = x.float(), y.float()
        mean_x, mean_y = mean(x), mean(y)
        var_x, var_y = mean(x * x) - mean_x.square(), mean(y * y) - mean_y.square()
        both = mean(x * y) - mean_x * mean_y
        small, large = (0.01 * peak) ** 2, (0.03 * peak) ** 2
        values = (2 * mean_x * mean_y + small) * (2 * both + large) / (
            (mean_x.square() + mean_y.square() + small) * (var_x + var_y + large))
        return values.mean((1, 2, 3))
