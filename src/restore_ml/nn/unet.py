"""pix2pix's U-Net: strided 4x4 convolutions down to a point, transposed ones up again, and a skip at every level."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restore_ml.base.errors import SettingError
from restore_ml.nn.blocks import norm_layer
from restore_ml.nn.initialisation import normal

DROPPED = 3
"""How many of the lowest upward blocks have dropout (the paper's CD512-CD1024-CD1024; in the PyTorch code, with 8
levels, it is on the second to the fourth)."""


class UNet(nn.Module):
    """N x in_channels x H x W -> N x out_channels x H x W, in [-1, 1] with `final="tanh"`, unbounded with `"none"`.

    H and W must be multiples of 2^levels. Level i has width * min(2^i, 8) channels. `norm`: `batch`, `instance` or
    `none`; the first level and the lowest have none. Convolutions before a normalisation have no bias, and neither
    has any in the encoder; without normalisation all have. `dropout`: 0.5 on the three lowest upward blocks.

    Source: Isola et al., CVPR 2017, and the layer table of their PyTorch code. 54,411,907 parameters for 1 -> 3
    channels, 54,409,858 for 1 -> 2 (8 levels), 41,824,898 for 1 -> 2 with 7.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int = 64, levels: int = 8, norm: str = "batch",
                 dropout: bool = True, final: str = "tanh") -> None:
        """Raises `UserError` for an unknown `norm`, `SettingError` for less than 2 levels or an unknown `final`."""
        super().__init__()
        if levels < 2 or final not in ("tanh", "none"):
            raise SettingError(f"A U-Net needs 2 levels or more and final 'tanh' or 'none', not {levels}, {final!r}.")
        self.levels, bias = levels, norm == "none"
        widths = [width * min(2 ** level, 8) for level in range(levels)]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level in range(levels):
            before = widths[level - 1] if level else in_channels
            inner = 0 < level < levels - 1
            self.down.append(nn.Sequential(
                nn.LeakyReLU(0.2) if level else nn.Identity(), nn.Conv2d(before, widths[level], 4, 2, 1, bias=bias),
                norm_layer(norm, widths[level]) if inner else nn.Identity()))
        for level in reversed(range(levels)):
            before = widths[level] * (1 if level == levels - 1 else 2)
            after = widths[level - 1] if level else out_channels
            drops = dropout and level and levels - 1 - level < DROPPED
            self.up.append(nn.Sequential(
                nn.ReLU(), nn.ConvTranspose2d(before, after, 4, 2, 1, bias=bias or not level),
                norm_layer(norm, after) if level else (nn.Tanh() if final == "tanh" else nn.Identity()),
                nn.Dropout(0.5) if drops else nn.Identity()))
        normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """Translate a batch."""
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        x = self.up[0](skips.pop())
        for up in self.up[1:]:
            x = up(torch.cat([skips.pop(), x], 1))
        return x
