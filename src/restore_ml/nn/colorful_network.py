"""Colorful Image Colorization: the network and the recipe that its classification and its regression share.

Source: Zhang, Isola, Efros, ECCV 2016, and the authors' released network; method card `colorful_colorization`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.method import Context, Method, Phase, Player
from restore_ml.nn.initialisation import he
from restore_ml.training.schedules import drops

AB_SCALE = 110.0
"""What ab are divided by where they are regressed."""
GRID = 4
"""The network predicts one colour for each GRID x GRID pixels."""
NEAR_GREY = 5.0


class ColorfulNet(nn.Module):
    """L (N x 1 x H x W in [0, 100], H and W multiples of 8) -> `outputs` x H/4 x W/4: conv1 to conv8 and a 1x1 head.

    3x3 convolutions with bias, ReLU after each, batch normalisation after the ReLU that ends a block; no pooling;
    conv5 and conv6 dilated by 2. `width` is the paper's 64.
    """

    def __init__(self, width: int = 64, outputs: int = 313) -> None:
        """Kaiming initialisation (reading: the release initialises by k-means; with normalisation this is enough)."""
        super().__init__()
        w = width
        blocks = [([w, w], 2, 1), ([2 * w, 2 * w], 2, 1), ([4 * w] * 3, 2, 1), ([8 * w] * 3, 1, 1), ([8 * w] * 3, 1, 2),
                  ([8 * w] * 3, 1, 2), ([8 * w] * 3, 1, 1)]
        layers: list[nn.Module] = []
        before = 1
        for channels, last_stride, dilation in blocks:
            for index, after in enumerate(channels):
                stride = last_stride if index == len(channels) - 1 else 1
                layers += [nn.Conv2d(before, after, 3, stride, dilation, dilation), nn.ReLU()]
                before = after
            layers.append(nn.BatchNorm2d(before))
        layers += [nn.ConvTranspose2d(before, 4 * w, 4, 2, 1), nn.ReLU()]
        for _ in range(2):
            layers += [nn.Conv2d(4 * w, 4 * w, 3, padding=1), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Conv2d(4 * w, outputs, 1)
        he(self.trunk)

    def forward(self, lightness: Tensor) -> Tensor:
        """Class logits, or ab / 110 of the regression."""
        return self.head(self.trunk((lightness - 50) / 100))


def coloured(ab: Tensor) -> Tensor:
    """1 for each picture (N x 2 x H x W) with some |a| or |b| above 5, else 0: N x 1 x 1. The others teach nothing."""
    return (ab.abs().amax((1, 2, 3)) > NEAR_GREY).float().view(-1, 1, 1)


class ColorfulMethod(Method):
    """A `ColorfulNet` in `networks["colorizer"]` and its training; subclasses say what it predicts and by which loss.
    """

    task = "colorization"
    recipe: ClassVar[dict[str, Any]] = {
        "width": 64, "steps": 450_000, "batch": 40, "patch": 176, "ema": 0.0,
        "lr": 3e-5, "betas": [0.9, 0.99], "weight_decay": 1e-3, "lr_drops": {"200000": 1 / 3, "375000": 0.1},
    }
    """What `paper` of both has."""
    stored_networks = ("colorizer",)
    multiple = 8

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the crop."""
        super().__init__(settings)
        if self.settings["patch"] % self.multiple:
            raise self.wrong("patch", "it must be a multiple of 8")

    def phases(self) -> list[Phase]:
        """One phase, one player."""
        s = self.settings
        player = Player("colorizer", ["colorizer"], self.loss,
                        lambda p: torch.optim.Adam(p, s["lr"], tuple(s["betas"]), weight_decay=s["weight_decay"]),
                        schedule=drops(s["lr_drops"]))
        return [Phase("train", s["steps"], [player])]

    def loss(self, context: Context) -> dict[str, Tensor]:
        """What the network minimises."""
        raise NotImplementedError


def enlarged(ab: Tensor) -> Tensor:
    """ab of the network's places, bilinearly at the size of the picture."""
    return F.interpolate(ab, scale_factor=GRID, mode="bilinear", align_corners=False)
