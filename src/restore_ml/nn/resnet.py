"""The generator of CycleGAN: a residual network between two strided convolutions and two transposed ones."""

from __future__ import annotations

from torch import Tensor, nn

from restore_ml.nn.blocks import ResidualBlock
from restore_ml.nn.initialisation import normal


class ResNetGenerator(nn.Module):
    """N x in_channels x H x W -> N x out_channels x H x W in [-1, 1]; H and W multiples of 4, at least 8.

    c7s1-k, d2k, d4k, `blocks` residual blocks of 4k, u2k, uk, c7s1-out with tanh (k is `width`); instance
    normalisation without scale and shift, ReLU, reflection padding, biases everywhere.

    Source: Zhu et al., ICCV 2017 (after Johnson et al., ECCV 2016). For 3 -> 3 channels, width 64: 11,378,179
    parameters with 9 blocks, 7,837,699 with 6.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int = 64, blocks: int = 9) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(in_channels, width, 7), *_normed(width),
            nn.Conv2d(width, 2 * width, 3, 2, 1), *_normed(2 * width),
            nn.Conv2d(2 * width, 4 * width, 3, 2, 1), *_normed(4 * width),
            *(ResidualBlock(4 * width, dilation=1) for _ in range(blocks)),
            nn.ConvTranspose2d(4 * width, 2 * width, 3, 2, 1, 1), *_normed(2 * width),
            nn.ConvTranspose2d(2 * width, width, 3, 2, 1, 1), *_normed(width),
            nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7), nn.Tanh())
        normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """Translate a batch."""
        translated: Tensor = self.body(x)
        return translated


def _normed(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.InstanceNorm2d(channels), nn.ReLU()
