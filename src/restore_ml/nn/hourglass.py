"""The two networks of deep image priors: a U-Net and a hourglass with narrow skips.

Sources: Ulyanov, Vedaldi, Lempitsky, CVPR 2018, and the classes of their code, from which the U-Net differs in that its
decoder is normalised too; method cards `dip`, `dip_watermark`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def enlarging(before: int, after: int, how: str) -> nn.Module:
    """To twice the size: `deconv` (4x4, stride 2), or `nearest` or `bilinear` interpolation and, where the number of
    channels changes, a 3x3 convolution."""
    if how == "deconv":
        return nn.ConvTranspose2d(before, after, 4, 2, 1)
    grow = nn.Upsample(scale_factor=2, mode=how, align_corners=None if how == "nearest" else False)
    return grow if before == after else nn.Sequential(grow, nn.Conv2d(before, after, 3, padding=1))


class PriorUNet(nn.Module):
    """N x in_channels x H x W -> N x 3 x H x W in [0, 1]; H and W multiples of 2^(len(widths) - 1 + extra).

    A level is two 3x3 convolutions, each with instance normalisation and ReLU. `extra` more levels below keep the last
    width. 6,462,499 parameters for 4 channels, widths 16, 32, 64, 128, 256 and one extra level; 2,463,523 without.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], extra: int = 1, upsample: str = "deconv") -> None:
        super().__init__()
        sizes = [*widths, *[widths[-1]] * extra]
        self.down, self.grow, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for before, after in zip([in_channels, *sizes], sizes, strict=False):
            self.down.append(_twice(before, after))
        for below, beside in zip(reversed(sizes[1:]), reversed(sizes[:-1]), strict=True):
            self.grow.append(enlarging(below, beside, upsample))
            self.up.append(_twice(2 * beside, beside))
        self.head = nn.Conv2d(sizes[0], 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Draw the picture."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(nn.functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        skips.pop()
        for grow, block in zip(self.grow, self.up, strict=True):
            x = block(torch.cat([grow(x), skips.pop()], 1))
        return torch.sigmoid(self.head(x))


def _twice(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.InstanceNorm2d(after), nn.ReLU(),
                         nn.Conv2d(after, after, 3, padding=1), nn.InstanceNorm2d(after), nn.ReLU())


class Hourglass(nn.Module):
    """N x in_channels x H x W -> N x 3 x H x W in [0, 1]; H and W multiples of 2^len(widths).

    Each level: a skip of `skip` channels (1x1; none with 0), two convolutions down (of side `kernel`, the first of
    stride 2), enlarging, and after the concatenation batch normalisation, a 3x3 and, with `pointwise`, a 1x1
    convolution; batch normalisation and LeakyReLU 0.2 after each; reflection padding. With 32 input channels and
    `deconv` 2,638,603 parameters for widths 16, 32, 64, 128, 128, 128, and 4,257,147 for six times 128.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], skip: int = 4, upsample: str = "deconv",
                 kernel: int = 3, pointwise: bool = True) -> None:
        super().__init__()
        inner: nn.Module | None = None
        for level in reversed(range(len(widths))):
            below = widths[min(level + 1, len(widths) - 1)]
            above = widths[level - 1] if level else in_channels
            inner = _Level(above, widths[level], below, skip, upsample, kernel, pointwise, inner)
        assert inner is not None
        self.body, self.head = inner, nn.Conv2d(widths[0], 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Draw the picture."""
        return torch.sigmoid(self.head(self.body(x)))


class _Level(nn.Module):
    def __init__(self, before: int, width: int, below: int, skip: int, upsample: str, kernel: int, pointwise: bool,
                 inner: nn.Module | None) -> None:
        super().__init__()
        self.skip = _layer(before, skip, 1) if skip else None
        self.down = nn.Sequential(*_layer(before, width, kernel, 2), *_layer(width, width, kernel))
        self.inner = nn.Identity() if inner is None else inner
        self.grow = enlarging(below, below, upsample)
        self.join = nn.Sequential(nn.BatchNorm2d(below + skip), *_layer(below + skip, width, 3),
                                  *(_layer(width, width, 1) if pointwise else ()))

    def forward(self, x: Tensor) -> Tensor:
        deep = self.grow(self.inner(self.down(x)))
        return self.join(deep if self.skip is None else torch.cat([self.skip(x), deep], 1))


def _layer(before: int, after: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(_Reflecting(before, after, kernel, stride), nn.BatchNorm2d(after), nn.LeakyReLU(0.2))


class _Reflecting(nn.Conv2d):
    """A convolution with reflection padding; maps that are too small to be reflected repeat their edge."""

    def forward(self, x: Tensor) -> Tensor:
        side = self.kernel_size[0] // 2
        mode = "reflect" if min(x.shape[-2:]) > side else "replicate"
        padded = nn.functional.pad(x, (side,) * 4, mode) if side else x
        return nn.functional.conv2d(padded, self.weight, self.bias, self.stride)
