"""The stacked hourglass: a network that looks at its maps at several sizes and gives them back at their own.

Source: Newell, Yang, Deng, Stacked hourglass networks for human pose estimation, ECCV 2016.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Bottleneck(nn.Module):
    """x + convolutions of 1 x 1, 3 x 3 and 1 x 1 with half of the channels between, each after batch norm and ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = max(width // 2, 1)
        self.body = nn.Sequential(
            nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, half, 1), nn.BatchNorm2d(half), nn.ReLU(),
            nn.Conv2d(half, half, 3, padding=1), nn.BatchNorm2d(half), nn.ReLU(), nn.Conv2d(half, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """The sum."""
        return x + self.body(x)


class Hourglass(nn.Module):
    """N x width x H x W to the same shape; H and W multiples of 2^depth.

    A bottleneck at the maps' own size, plus what is seen at half of it: maxima of 2 x 2, a bottleneck, an hourglass of
    one level less (at the last level a bottleneck), another bottleneck, pixels repeated.
    """

    def __init__(self, width: int, depth: int = 4) -> None:
        super().__init__()
        self.beside, self.before, self.after = Bottleneck(width), Bottleneck(width), Bottleneck(width)
        self.inner: nn.Module = Hourglass(width, depth - 1) if depth > 1 else Bottleneck(width)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both."""
        below = self.after(self.inner(self.before(functional.max_pool2d(x, 2))))
        return self.beside(x) + functional.interpolate(below, scale_factor=2.0, mode="nearest")
