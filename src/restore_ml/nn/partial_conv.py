"""Partial convolution: a convolution over the known pixels alone, which also moves the border of what is known.

Source: Liu, Reda, Shih, Wang, Tao, Catanzaro, ECCV 2018, equations 1 and 2; method card `partial_conv`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PartialConv2d(nn.Conv2d):
    """(x, v) -> (y, v'): x N x C x H x W, v of the same shape with 1 = known, 0 = hole (the reverse of a task's mask).

    With s = the sum of v over the window: y = conv(x v) k^2 C / s + bias and v' = 1 where s > 0, both 0 elsewhere. The
    bias is not scaled. Padding counts as hole, so the outermost ring differs from a plain convolution even with v = 1.
    No gradient flows to v. v' is N x out_channels x H' x W' (an expanded view: all channels are equal).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1,
                 bias: bool = True) -> None:
        """Padding is kernel_size // 2."""
        super().__init__(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=bias)

    def forward(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Convolve and update the mask."""
        with torch.no_grad():
            share = F.avg_pool2d(v.float().mean(1, keepdim=True), self.kernel_size, self.stride,
                                 self.kernel_size[0] // 2)  # s / (k^2 C)
            known = (share > 1e-8).float()
            ratio = known / share.clamp(min=1e-8)
        y = F.conv2d(x * v, self.weight, None, self.stride, self.padding) * ratio
        if self.bias is not None:
            y = (y + self.bias.view(1, -1, 1, 1)) * known
        return y, known.expand(-1, self.out_channels, -1, -1)


class PartialBlock(nn.Module):
    """Partial convolution without bias, batch normalisation where `norm`, activation: (x, v) -> (y, v')."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, activation: nn.Module,
                 norm: bool = True) -> None:
        super().__init__()
        self.convolution = PartialConv2d(in_channels, out_channels, kernel_size, stride, bias=False)
        self.norm = nn.BatchNorm2d(out_channels) if norm else nn.Identity()
        self.activation = activation

    def forward(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """One layer."""
        y, v = self.convolution(x, v)
        return self.activation(self.norm(y)), v
