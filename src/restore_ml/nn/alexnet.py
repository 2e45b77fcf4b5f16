"""AlexNet's convolutions in torchvision's form (Krizhevsky 2014, "One weird trick"), with the five taps of LPIPS."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.nn.vgg16 import MEAN, STD

LAYERS = {"1": (3, 64, 11, 4, 2), "2": (64, 192, 5, 1, 2), "3": (192, 384, 3, 1, 1), "4": (384, 256, 3, 1, 1),
          "5": (256, 256, 3, 1, 1)}
"""Channels in and out, side of the kernel, stride and padding of each convolution."""
CONVOLUTIONS = tuple(LAYERS)
TAPS = tuple(f"relu{name}" for name in CONVOLUTIONS)
POOLED = ("2", "3")
"""Convolutions before which the largest of 3 x 3 is taken, with stride 2."""


class AlexNet(nn.Module):
    """N x 3 x H x W RGB in [0, 1] (H, W >= 31) -> feature maps by tap name (`relu1` ... `relu5`)."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleDict({
            name: nn.Conv2d(before, after, side, stride, padding)
            for name, (before, after, side, stride, padding) in LAYERS.items()})
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor, taps: Iterable[str] | None = None) -> dict[str, Tensor]:
        """The maps of `taps` (all five by default); nothing behind the last of them is computed. An unknown tap is a
        `UserError`."""
        wanted = set(TAPS if taps is None else taps)
        if wanted - set(TAPS):
            raise UserError(f"AlexNet has no tap {min(wanted - set(TAPS))!r}; there are {', '.join(TAPS)}.")
        maps: dict[str, Tensor] = {}
        x = (x - self.mean) / self.std
        for name, convolution in self.convolutions.items():
            if wanted <= maps.keys():
                break
            x = F.max_pool2d(x, 3, 2) if name in POOLED else x
            x = F.relu(convolution(x))
            maps[f"relu{name}"] = x
        return {tap: value for tap, value in maps.items() if tap in wanted}


def load_alexnet() -> AlexNet:
    """AlexNet, frozen, with torchvision's ImageNet weights from the shelf; see `foreign_weights.load` for errors."""
    from restore_ml.nn import foreign_weights

    network = AlexNet()
    network.load_state_dict(foreign_weights.load("alexnet"))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # small pictures: up to 3 times as fast
    return network.eval().requires_grad_(False)
