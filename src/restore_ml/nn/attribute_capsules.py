"""Facial attribute capsules: a small face as a group of vectors, one for each attribute, and the face drawn from them.

A capsule has a semantic part, a squashed vector (Sabour, Frosst, Hinton, NIPS 2017), and a probabilistic one, a draw of
a normal distribution of its own (Kingma, Welling, ICLR 2014). Source: Xin, Wang, Jiang, Li, Gao, Li, Facial attribute
capsules for noise face super resolution, AAAI 2020.

reading: of the paper no layer is known; all sizes and the order of layers here are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from restore_ml.nn.face_enlarging import bicubic

SCALE = 8
LEAK = 0.2
LARGEST_LOGVAR = 8.0


class ResidualBlock(nn.Module):
    """x + Conv-BN-ReLU-Conv-BN of x, 3 x 3."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
                                  nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape as `x`."""
        return x + self.body(x)


class Encoder(nn.Module):
    """N x 3 x h x h to maps (N x widths[0] x h x h) and `hidden` numbers; h a multiple of 4.

    Conv 3 x 3, ReLU, three residual blocks; twice a convolution 4 x 4 of stride 2, batch norm, leaky ReLU and two
    residual blocks; a linear layer and ReLU.
    """

    def __init__(self, side: int, widths: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, widths[0], 3, padding=1), nn.ReLU(),
                                   *(ResidualBlock(widths[0]) for _ in range(3)))
        down: list[nn.Module] = []
        for before, after in pairwise(widths):
            down += [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.LeakyReLU(LEAK),
                     ResidualBlock(after), ResidualBlock(after)]
        self.down = nn.Sequential(*down, nn.Flatten(), nn.Linear(widths[-1] * (side // 4) ** 2, hidden), nn.ReLU())

    def forward(self, small: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of the small face's size, and numbers."""
        maps = self.first(small)
        return maps, self.down(maps)


@dataclass(frozen=True)
class Capsules:
    """Of N faces with K capsules of d numbers: `semantic` (N x K x d, shorter than 1), `mean` and `logvar` (the same
    shape) of the distributions, `whole` (N x K x 2d: the semantic part, then the probabilistic one)."""

    semantic: Tensor
    mean: Tensor
    logvar: Tensor
    whole: Tensor

    def divergence(self) -> Tensor:
        """KL(N(mean, variance) || N(0, 1)), averaged over faces, capsules and numbers."""
        mean, logvar = self.mean.float(), self.logvar.float()
        return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()


class CapsuleHeads(nn.Module):
    """Numbers (N x hidden) to `count` capsules of `size`, each part by linear layers of its own; and from the capsules
    the logits of their attributes, each from its own capsule alone."""

    def __init__(self, hidden: int, count: int, size: int) -> None:
        super().__init__()
        self.count, self.size = count, size
        self.semantic, self.mean, self.logvar = (nn.Linear(hidden, count * size) for _ in range(3))
        self.attribute = nn.Parameter(torch.randn(count, 2 * size) / (2 * size) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(count))

    def forward(self, numbers: Tensor, draws: Tensor | None = None) -> Capsules:
        """`draws`: N x K x d numbers of N(0, 1) for the probabilistic parts; without them these are the means."""
        shape = (len(numbers), self.count, self.size)
        semantic = squash(self.semantic(numbers).view(shape))
        mean, logvar = self.mean(numbers).view(shape), self.logvar(numbers).view(shape)
        logvar = logvar.clamp(-LARGEST_LOGVAR, LARGEST_LOGVAR)
        drawn = mean if draws is None else mean + (logvar / 2).exp() * draws
        return Capsules(semantic, mean, logvar, torch.cat([semantic, drawn], 2))

    def logits(self, capsules: Tensor) -> Tensor:
        """N x K, of `Capsules.whole`."""
        return (capsules * self.attribute).sum(2) + self.bias


class Decoder(nn.Module):
    """Capsules (N x K x 2d) and the encoder's maps to a picture of `side` x `side`.

    A linear layer to maps of side / 32, ReLU; five times twice as large by repeating pixels, Conv 3 x 3, batch norm,
    ReLU and a residual block. `skip` channels of the encoder's maps are joined before the residual block of their size
    (0 for none). A last convolution 5 x 5.
    """

    def __init__(self, side: int, numbers: int, widths: Sequence[int], skip: int) -> None:
        super().__init__()
        self.place = side // 32
        self.first = nn.Linear(numbers, widths[0] * self.place**2)
        self.ups, self.blocks = nn.ModuleList(), nn.ModuleList()
        channels = widths[0]
        for number, width in enumerate(widths):
            self.ups.append(nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"),
                                          nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()))
            channels = width + (skip if number == 1 else 0)
            self.blocks.append(ResidualBlock(channels))
        self.skip = skip
        self.tail = nn.Conv2d(channels, 3, 5, padding=2)

    def forward(self, capsules: Tensor, maps: Tensor) -> Tensor:
        """Not clipped."""
        x = self.first(capsules.flatten(1)).relu().unflatten(1, (-1, self.place, self.place))
        for number, (up, block) in enumerate(zip(self.ups, self.blocks, strict=True)):
            x = up(x)
            x = block(torch.cat([x, maps], 1) if self.skip and number == 1 else x)
        return self.tail(x)


class CapsuleNetwork(nn.Module):
    """N x 3 x side/8 x side/8 to N x 3 x side x side, both in [-1, 1] (the result is not clipped), and its capsules.

    `encoder` and `decoder`: channels of the stages (three and five). `count` capsules of `size` numbers a part.
    `lr_skip`: the decoder sees maps of the small face. `global_residual`: it adds to the bicubic picture.
    """

    def __init__(self, side: int, encoder: Sequence[int], decoder: Sequence[int], hidden: int, count: int, size: int,
                 lr_skip: bool = True, global_residual: bool = True) -> None:
        super().__init__()
        self.encoder = Encoder(side // SCALE, encoder, hidden)
        self.heads = CapsuleHeads(hidden, count, size)
        self.decoder = Decoder(side, 2 * count * size, decoder, encoder[0] if lr_skip else 0)
        self.global_residual = global_residual

    def forward(self, small: Tensor, draws: Tensor | None = None) -> tuple[Tensor, Capsules]:
        """The face and its capsules; see `CapsuleHeads` for `draws`."""
        maps, numbers = self.encoder(small)
        capsules = self.heads(numbers, draws)
        face = self.decoder(capsules.whole, maps)
        return (bicubic(small.float()) + face if self.global_residual else face), capsules


def squash(vectors: Tensor) -> Tensor:
    """Vectors (in the last axis) of the same direction and of length n^2 / (1 + n^2), n being their own length."""
    square = vectors.float().square().sum(-1, keepdim=True)
    return vectors * ((square + 1e-12).sqrt() / (1 + square)).to(vectors.dtype)
