"""Gated convolution (Yu et al., "Free-Form Image Inpainting with Gated Convolution", ICCV 2019): a convolution that
learns for each channel and place how much of it counts.

The authors name a layer by what its one convolution gives, features and gates together: their 48 are 24 here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GatedConv2d(nn.Module):
    """N x before x H x W -> N x after x H/stride x W/stride: activation(features) times sigmoid(gates).

    One convolution gives both, the features first; zeros beyond the border. `activation`: ELU, unless another one is
    given. reading: padding is the same on both sides, also with a stride, where TensorFlow has less of it before.
    """

    def __init__(self, before: int, after: int, kernel: int = 3, stride: int = 1, dilation: int = 1,
                 activation: nn.Module | None = None) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, 2 * after, kernel, stride, dilation * (kernel // 2), dilation)
        self.activation = nn.ELU() if activation is None else activation

    def forward(self, x: Tensor) -> Tensor:
        """The gated features."""
        features, gates = self.convolution(x).chunk(2, 1)
        return self.activation(features) * torch.sigmoid(gates)


def enlarging(before: int, after: int) -> nn.Sequential:
    """To twice the size: each value repeated, then a gated 3x3 convolution."""
    return nn.Sequential(nn.Upsample(scale_factor=2), GatedConv2d(before, after))
