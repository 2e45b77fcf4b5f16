"""The networks of FSRNet: a coarse face, its landmarks and parts, and a fine face that is made with their help.

Source: Chen, Tai, Liu, Shen, Yang, FSRNet: end-to-end learning face super-resolution with facial priors, CVPR 2018; the
hourglasses are those of `restore_ml.nn.stacked_hourglass`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from restore_ml.nn.stacked_hourglass import Hourglass


class ResidualBlock(nn.Module):
    """x + Conv-BN-ReLU-Conv-BN of x, 3 x 3."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_layer(nn.Conv2d(width, width, 3, padding=1), width),
                                  nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """The sum."""
        return x + self.body(x)


def _layer(convolution: nn.Module, width: int) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(width), nn.ReLU()]


def _blocks(width: int, count: int) -> list[nn.Module]:
    return [ResidualBlock(width) for _ in range(count)]


class PriorNet(nn.Module):
    """N x 3 x H x W to features, N x width x H/2 x W/2, and of the same size maps of `landmarks` and of `parts`; H and
    W multiples of 2^(depth + 1).

    Conv 7 x 7 of stride 2, residual blocks, hourglasses one after the other, each with a Conv 1 x 1, batch norm and
    ReLU behind it, and 1 x 1 convolutions, one for landmarks and one for parts, that share these features.
    """

    def __init__(self, width: int, blocks: int, hourglasses: int, depth: int, landmarks: int, parts: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*_layer(nn.Conv2d(3, width, 7, 2, 3), width), *_blocks(width, blocks))
        for _ in range(hourglasses):
            self.features.extend([Hourglass(width, depth), *_layer(nn.Conv2d(width, width, 1), width)])
        self.landmarks, self.parts = nn.Conv2d(width, landmarks, 1), nn.Conv2d(width, parts, 1)

    def forward(self, face: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features, heatmaps, parsing maps."""
        features = self.features(face)
        return features, self.landmarks(features), self.parts(features)


class Restored(NamedTuple):
    """What the network gives: faces N x 3 x H x W, maps N x landmarks (and parts) x H/2 x W/2, none of them clipped."""

    fine: Tensor
    coarse: Tensor
    heatmaps: Tensor
    parsing: Tensor


class FSRNet(nn.Module):
    """An interpolated face, N x 3 x H x W in [0, 1] with H and W multiples of 2^(depth + 1), to `Restored`.

    `coarse` (Conv 3 x 3, `blocks` residual blocks, Conv 3 x 3) draws the coarse face; of this the `prior` network tells
    landmarks and parts, and the `encoder` (Conv 3 x 3 of stride 2, `encoder_blocks`, Conv 3 x 3) makes features; the
    `decoder` joins the features of both (Conv 3 x 3, transposed Conv 4 x 4 of stride 2, `blocks`, Conv 3 x 3).
    `residual`: both faces are differences from the interpolated one, small ones at first.
    """

    def __init__(self, width: int = 64, blocks: int = 3, encoder_blocks: int = 12, prior_width: int = 128,
                 hourglasses: int = 2, depth: int = 4, landmarks: int = 5, parts: int = 9,
                 residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        self.coarse = nn.Sequential(*_layer(nn.Conv2d(3, width, 3, padding=1), width), *_blocks(width, blocks),
                                    nn.Conv2d(width, 3, 3, padding=1))
        self.prior = PriorNet(prior_width, blocks, hourglasses, depth, landmarks, parts)
        self.encoder = nn.Sequential(*_layer(nn.Conv2d(3, width, 3, 2, 1), width), *_blocks(width, encoder_blocks),
                                     nn.Conv2d(width, width, 3, padding=1))
        self.decoder = nn.Sequential(*_layer(nn.Conv2d(width + prior_width, width, 3, padding=1), width),
                                     *_layer(nn.ConvTranspose2d(width, width, 4, 2, 1), width), *_blocks(width, blocks),
                                     nn.Conv2d(width, 3, 3, padding=1))
        for last in (self.coarse[-1], self.decoder[-1]) if residual else ():
            assert isinstance(last, nn.Conv2d) and last.bias is not None
            with torch.no_grad():
                last.weight.mul_(0.01)
                last.bias.zero_()

    def forward(self, face: Tensor) -> Restored:
        """Both faces, heatmaps and parsing maps."""
        base = face if self.residual else torch.zeros_like(face)
        coarse = base + self.coarse(face)
        features, heatmaps, parsing = self.prior(coarse)
        fine = base + self.decoder(torch.cat([self.encoder(coarse), features], 1))
        return Restored(fine, coarse, heatmaps, parsing)
