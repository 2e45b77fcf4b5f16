"""Several fields of view at one resolution: branches that see 1, 3, 5 and 9 pixels a side, joined and added.

Source: Li, Zheng, Ma, Zhang, Li, Kang, "multi-field-of-view feature representation", Pattern Recognition and Artificial
Intelligence 2022(7); the layers are the reading of the method card `mfrc_net`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restore_ml.base.errors import SettingError
from restore_ml.nn.initialisation import normal

MODES: dict[str, tuple[tuple[int, int], ...]] = {
    "dilations": ((3, 1), (3, 2), (3, 4)),
    "kernels": ((3, 1), (5, 1), (7, 1)),
}
"""By name, side and dilation of the convolution that gives each branch but the first its field of view."""


class FieldsOfView(nn.Module):
    """N x C x H x W -> the same: ReLU(x + BN(1x1 of the four branches)); C a multiple of 4.

    Each branch has C/4 channels: a 1x1 convolution, and in all but the first one that sees farther; no biases, batch
    normalisation and ReLU after each. 3.6875 C^2 + 5.5 C parameters with `dilations`.
    """

    def __init__(self, channels: int, mode: str = "dilations") -> None:
        """Raises `SettingError` for another number of channels or mode."""
        super().__init__()
        if channels % 4 or mode not in MODES:
            raise SettingError(f"Fields of view need a multiple of 4 channels and a mode of {', '.join(MODES)}, not "
                               f"{channels} and {mode!r}.")
        part = channels // 4
        self.branches = nn.ModuleList([_seen(channels, part, 1)])
        for side, dilation in MODES[mode]:
            self.branches.append(nn.Sequential(_seen(channels, part, 1), _seen(part, part, side, dilation)))
        self.fuse = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels))
        normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """What all branches see, added."""
        return torch.relu(x + self.fuse(torch.cat([branch(x) for branch in self.branches], 1)))


def _seen(before: int, after: int, side: int, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, side, padding=dilation * (side // 2), dilation=dilation, bias=False),
                         nn.BatchNorm2d(after), nn.ReLU())
