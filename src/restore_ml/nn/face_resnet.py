"""dlib's network for recognising faces (King 2017): a ResNet with 29 convolutions that makes 128 numbers of a face.

Source: dlib's example of face recognition (dnn_face_recognition_ex).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE, DIMENSION = 150, 128
"""Pixels of a side that the network was trained on, and how many numbers it gives."""
MEAN = (122.782, 117.001, 104.298)
"""Subtracted from R, G and B in 0..255, before all is divided by 256."""
LEVELS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Channels, blocks, and whether the first block halves the sides."""


class Scale(nn.Module):
    """A factor and an offset a channel: what is left of batch normalisation after training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.factor, self.offset = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Of one shape with `x`, N x C x H x W."""
        return x * self.factor.view(-1, 1, 1) + self.offset.view(-1, 1, 1)


class Block(nn.Module):
    """Two 3 x 3 convolutions beside the input, or beside its mean over 2 x 2 where the sides are halved.

    What is fewer channels or smaller is filled up with zeros at its end before both are added, as dlib does.
    """

    def __init__(self, before: int, channels: int, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        self.one = nn.Conv2d(before, channels, 3, 2 if halve else 1, 0 if halve else 1)
        self.scale_one = Scale(channels)
        self.two, self.scale_two = nn.Conv2d(channels, channels, 3, 1, 1), Scale(channels)

    def forward(self, x: Tensor) -> Tensor:
        """N x `before` x H x W to N x `channels` x H' x W'."""
        deep = self.scale_two(self.two(F.relu(self.scale_one(self.one(x)))))
        short = F.avg_pool2d(x, 2) if self.halve else x
        shape = [max(sizes) for sizes in zip(deep.shape, short.shape, strict=True)]
        return F.relu(_filled(deep, shape) + _filled(short, shape))


class FaceResNet(nn.Module):
    """N x 3 x 150 x 150 RGB in [0, 1] -> N x 128, not normalised."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first, self.scale = nn.Conv2d(3, 32, 7, 2), Scale(32)
        blocks, before = [], 32
        for channels, count, halve in LEVELS:
            for number in range(count):
                blocks.append(Block(before, channels, halve and number == 0))
                before = channels
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Linear(before, DIMENSION, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        x = F.max_pool2d(F.relu(self.scale(self.first((255 * pictures - self.mean) / 256))), 3, 2)
        return self.last(self.blocks(x).mean((2, 3)))


def _filled(x: Tensor, shape: Sequence[int]) -> Tensor:
    """`x` with zeros behind its channels, rows and columns up to `shape` (N, C, H, W)."""
    _, channels, height, width = (wanted - own for wanted, own in zip(shape, x.shape, strict=True))
    return F.pad(x, (0, width, 0, height, 0, channels))


def arrays_in_order() -> Iterator[dict[str, tuple[int, ...]]]:
    """What each array of dlib's file holds one after the other: the names of parameters with their shapes. The last
    array is a table of inputs x outputs, the transposed `last.weight`."""
    def pair(convolution: str, scale: str, before: int, after: int, side: int) -> Iterator[dict[str, tuple[int, ...]]]:
        yield {f"{convolution}.weight": (after, before, side, side), f"{convolution}.bias": (after,)}
        yield {f"{scale}.factor": (after,), f"{scale}.offset": (after,)}

    yield from pair("first", "scale", 3, 32, 7)
    number, before = 0, 32
    for channels, count, _ in LEVELS:
        for _ in range(count):
            yield from pair(f"blocks.{number}.one", f"blocks.{number}.scale_one", before, channels, 3)
            yield from pair(f"blocks.{number}.two", f"blocks.{number}.scale_two", channels, channels, 3)
            number, before = number + 1, channels
    yield {"last.weight": (before, DIMENSION)}
