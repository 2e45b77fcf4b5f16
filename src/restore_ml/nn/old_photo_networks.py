"""The networks of old_photo_vae: the halves of an autoencoder, the mapping from one's codes to another's with its
partial non-local block, and discriminators at several sizes.

Source: Wan, Zhang, Chen, Zhang, Chen, Liao, Wen, "Bringing old photos back to life", CVPR 2020, and the layers of the
authors' released code. All weights begin as N(0, 0.02), biases and W of the non-local block as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.nn.blocks import ResidualBlock
from restore_ml.nn.initialisation import normal
from restore_ml.nn.patchgan import PatchDiscriminator

STRIDE = 4
"""Pixels a side of one position of a code."""


class Encoder(nn.Module):
    """N x 3 x H x W in [-1, 1], H and W multiples of 4, to codes N x `width` x H/4 x W/4.

    7 x 7, then twice 4 x 4 of stride 2, each with instance normalisation and ReLU, and `blocks` residual blocks.
    Multiplying a picture and adding to it changes no code. 436,096 parameters for (64, 4).
    """

    def __init__(self, width: int = 64, blocks: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), *_normed(width), *(
                layer for _ in range(2) for layer in (nn.Conv2d(width, width, 4, 2, 1), *_normed(width))),
            *(ResidualBlock(width, dilation=1) for _ in range(blocks)))
        normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """The means of the codes, whose deviation is 1 by definition."""
        return self.body(x)


class Decoder(nn.Module):
    """The way back: `blocks` residual blocks, twice a transposed 4 x 4 of stride 2, 7 x 7 and tanh. 436,035 parameters
    for (64, 4)."""

    def __init__(self, width: int = 64, blocks: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(ResidualBlock(width, dilation=1) for _ in range(blocks)), *(
                layer for _ in range(2) for layer in (nn.ConvTranspose2d(width, width, 4, 2, 1), *_normed(width))),
            nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())
        normal(self)

    def forward(self, code: Tensor) -> Tensor:
        """Pictures in [-1, 1]."""
        return self.body(code)


class PartialNonLocal(nn.Module):
    """What lies under scratches, from everywhere else: known x + (1 - known) R(W(A g(x))), any N x C x h x w.

    A: the softmax of theta(x)^T phi(x) over the known positions alone; theta, phi, g and W are 1 x 1, W begins as 0; R:
    three residual blocks.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta, self.phi, self.g, self.out = (nn.Conv2d(channels, channels, 1) for _ in range(4))
        self.refine = nn.Sequential(*(ResidualBlock(channels, dilation=1) for _ in range(3)))

    def attention(self, x: Tensor, known: Tensor) -> Tensor:
        """A as N x hw x hw: row i has the weights of all positions for position i. `forward` gives the same without
        holding it."""
        products = torch.bmm(self.theta(x).flatten(2).mT, self.phi(x).flatten(2))
        return products.masked_fill(~_sources(known), -torch.inf).softmax(2)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """`known`: N x 1 x h x w, 1 = no scratch touches the position. The same shape as `x`."""
        query, key, value = (layer(x).flatten(2).mT[:, None] for layer in (self.theta, self.phi, self.g))
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=_sources(known)[:, None], scale=1.0)
        filled = self.refine(self.out(found[:, 0].mT.unflatten(2, x.shape[2:])))
        return known * x + (1 - known) * filled


class Mapping(nn.Module):
    """Codes of damaged pictures to codes of clean ones, N x `width` x h x w: 3 x 3 convolutions to `widths`, `blocks`
    residual blocks, 3 x 3 convolutions back; instance normalisation and ReLU behind each but the last.

    With `non_local` the partial non-local block stands before the residual blocks; it is passed by where there is no
    scratch. At the paper's sizes 36,135,232 parameters, with the block 51,344,704. With `level` there is beside it a
    linear layer from the means and deviations of a picture's channels to the means of the restored one.
    """

    def __init__(self, width: int = 64, widths: Sequence[int] = (128, 256, 512, 512), blocks: int = 6,
                 non_local: bool = True, level: bool = False) -> None:
        super().__init__()
        self.level = Level() if level else None
        ways = [width, *widths]

        def stairs(steps: Sequence[int]) -> list[nn.Module]:
            return [layer for before, after in pairwise(steps)
                    for layer in (nn.Conv2d(before, after, 3, padding=1), *_normed(after))]

        self.up = nn.Sequential(*stairs(ways))
        self.non_local = PartialNonLocal(ways[-1]) if non_local else None
        self.down = nn.Sequential(*(ResidualBlock(ways[-1], dilation=1) for _ in range(blocks)),
                                  *stairs(ways[:0:-1]), nn.Conv2d(ways[1], width, 3, padding=1))
        normal(self.up)
        normal(self.down)
        if self.non_local is not None:
            normal(self.non_local)
            nn.init.zeros_(self.non_local.out.weight)

    def forward(self, code: Tensor, scratches: Tensor | None = None) -> Tensor:
        """`scratches`: N x 1 x H x W of the picture, 1 = scratched; a position that a scratch touches is scratched."""
        x = self.up(code)
        if self.non_local is not None and scratches is not None and scratches.any():
            x = self.non_local(x, 1 - F.max_pool2d(scratches, STRIDE).to(x.dtype))
        return self.down(x)


class Level(nn.Linear):
    """N x 3 x H x W to the levels N x 3 x 1 x 1 of what it will be restored to: at first those that it has."""

    def __init__(self) -> None:
        super().__init__(6, 3)
        nn.init.eye_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, picture: Tensor) -> Tensor:
        """Of a damaged picture."""
        means, deviations = picture.mean((2, 3)), picture.std((2, 3))
        return super().forward(torch.cat([means, deviations], 1))[:, :, None, None]


class MultiScaleJudge(nn.Module):
    """PatchGANs with spectral and instance normalisation of pictures (or codes) at `scales` sizes, each half of the
    one before: lists of maps, each ending with the patches' scores."""

    def __init__(self, in_channels: int, width: int = 64, layers: int = 3, scales: int = 2) -> None:
        super().__init__()
        self.judges = nn.ModuleList(PatchDiscriminator(in_channels, width, layers, "plain_instance", spectral=True)
                                    for _ in range(scales))
        self.smaller = nn.AvgPool2d(3, 2, 1, count_include_pad=False)

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """By size, the largest first."""
        maps = []
        for number, judge in enumerate(self.judges):
            x = self.smaller(x) if number else x
            maps.append(judge.features(x))  # type: ignore[operator]
        return maps


def levelled(picture: Tensor, level: Tensor) -> Tensor:
    """N x 3 x H x W with `level` (N x 3 x 1 x 1) as the means of its channels."""
    return picture - picture.mean((2, 3), keepdim=True) + level


def _normed(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.InstanceNorm2d(channels), nn.ReLU()


def _sources(known: Tensor) -> Tensor:
    """N x 1 x hw, whether attention may look there: at the known positions, or everywhere where none is known."""
    flat = known.flatten(2) > 0.5
    return flat | ~flat.any(2, keepdim=True)
