"""VGG16's convolutions (Simonyan and Zisserman, ICLR 2015, configuration D) with taps by name.

With the ImageNet weights of the shelf it is the network of LPIPS-VGG, of DISTS and of perceptual losses in the
literature; `restore_ml.nn.features` is the network of this project's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.base.errors import UserError

WIDTHS, DEPTHS = (64, 128, 256, 512, 512), (2, 2, 3, 3, 3)
"""Channels and convolutions of the five blocks."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's RGB in [0, 1], as torchvision takes them. LPIPS's scaling of [-1, 1] is the same."""
CONVOLUTIONS = tuple(f"{block}_{number}" for block, depth in enumerate(DEPTHS, 1) for number in range(1, depth + 1))
TAPS = tuple(f"relu{name}" for name in CONVOLUTIONS)
LAST_OF_BLOCKS = tuple(f"relu{block}_{depth}" for block, depth in enumerate(DEPTHS, 1))
"""relu1_2, relu2_2, relu3_3, relu4_3, relu5_3: what LPIPS and DISTS compare."""


def halved(x: Tensor) -> Tensor:
    """Between two blocks: the largest of 2 x 2."""
    return F.max_pool2d(x, 2)


class VGG16(nn.Module):
    """N x 3 x H x W RGB in [0, 1] (H, W >= 16) -> feature maps by tap name (`relu1_1` ... `relu5_3`)."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.convolutions, before = nn.ModuleDict(), 3
        for name in CONVOLUTIONS:
            after = WIDTHS[int(name[0]) - 1]
            self.convolutions[name] = nn.Conv2d(before, after, 3, padding=1)
            before = after
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor, taps: Iterable[str] | None = None, normalise: bool = True,
                pool: Callable[[Tensor], Tensor] = halved) -> dict[str, Tensor]:
        """The maps of `taps` (all thirteen by default); nothing behind the last of them is computed.

        `normalise`: subtract ImageNet's mean and divide by its standard deviation first; `pool`: what makes maps
        smaller between blocks. An unknown tap is a `UserError`.
        """
        wanted = set(TAPS if taps is None else taps)
        if wanted - set(TAPS):
            raise UserError(f"VGG16 has no tap {min(wanted - set(TAPS))!r}; there are {', '.join(TAPS)}.")
        maps: dict[str, Tensor] = {}
        x = (x - self.mean) / self.std if normalise else x
        for name, convolution in self.convolutions.items():
            if wanted <= maps.keys():
                break
            x = pool(x) if name[2] == "1" and name[0] != "1" else x
            x = F.relu(convolution(x))
            maps[f"relu{name}"] = x
        return {tap: value for tap, value in maps.items() if tap in wanted}


def load_vgg16() -> VGG16:
    """VGG16, frozen, with torchvision's ImageNet weights from the shelf; see `foreign_weights.load` for errors."""
    from restore_ml.nn import foreign_weights

    network = VGG16()
    network.load_state_dict(foreign_weights.load("vgg16"))
    return network.eval().requires_grad_(False)
