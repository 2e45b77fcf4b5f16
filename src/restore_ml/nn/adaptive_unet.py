"""pix2pix's U-Net whose normalisations take scale and shift from a vector: adaptive instance normalisation."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.nn.unet import UNet


class AdaptiveUNet(nn.Module):
    """`x` (N x in_channels x H x W) and a vector (N x `features`) to N x out_channels x H x W in [-1, 1].

    All convolutions have biases; where pix2pix normalises, the features are normalised for each picture and channel,
    and scaled and shifted by numbers that three linear layers of `hidden` units make of the vector.

    Source: Yoo et al., CVPR 2019 (MemoPainter), after Huang and Belongie, ICCV 2017. With 8 levels of width 64, 1 -> 2
    channels: 54,405,506 parameters in convolutions, 9,856 numbers.
    reading: the scales begin at 1 (the last layer's biases); with torch's own first weights they begin about 0, and
    nothing passes.
    """

    def __init__(self, in_channels: int, out_channels: int, features: int, width: int = 64, levels: int = 8,
                 hidden: int = 512, dropout: bool = True) -> None:
        super().__init__()
        self.unet = UNet(in_channels, out_channels, width, levels, norm="none", dropout=dropout)
        normalised = [*self.unet.down[1:-1], *self.unet.up[:-1]]
        self.channels = [cast(nn.Conv2d, cast(nn.Sequential, block)[1]).out_channels for block in normalised]
        total = sum(self.channels)
        last = nn.Linear(hidden, 2 * total)
        self.numbers = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), last)
        with torch.no_grad():
            last.bias[:total] = 1
            last.bias[total:] = 0

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """Translate a batch."""
        scales, shifts = self.numbers(vector).chunk(2, 1)
        styles = zip(scales.split(self.channels, 1), shifts.split(self.channels, 1), strict=True)
        skips: list[Tensor] = []
        for level, block in enumerate(self.unet.down):
            x = block(x)
            if 0 < level < self.unet.levels - 1:
                x = adaptive_instance_norm(x, *next(styles))
            skips.append(x)
        x = skips.pop()
        for level, block in enumerate(self.unet.up):
            activation, convolution, squashed, dropout = cast(nn.Sequential, block)
            x = convolution(activation(torch.cat([skips.pop(), x], 1) if level else x))
            if level < self.unet.levels - 1:
                x = dropout(adaptive_instance_norm(x, *next(styles)))
        return squashed(x)


def adaptive_instance_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """N x C x H x W with mean 0 and variance 1 in each channel of each picture, times `scale` plus `shift` (N x C)."""
    return F.instance_norm(x) * scale[..., None, None] + shift[..., None, None]
