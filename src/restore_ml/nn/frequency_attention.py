"""Frequency channel attention: channels are weighed by one frequency of their maps each, not by their mean alone.

Source: Qin, Zhang, Wu, Li, "FcaNet: Frequency channel attention networks", ICCV 2021, and the authors' code; card
`fca_gan`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.base.errors import SettingError

SIDE = 7
"""Maps are averaged to SIDE x SIDE before frequencies are taken. On a smaller grid they would fall together: the
authors' code scales them by the grid's side over 7, rounded down, which is 0 for maps of 4 pixels and less."""
TOP16 = ((0, 0), (0, 1), (6, 0), (0, 5), (0, 2), (1, 0), (1, 2), (4, 0), (5, 0), (1, 6), (3, 0), (0, 4), (0, 6), (0, 3),
         (3, 5), (2, 2))
"""The sixteen frequencies (down, across) that classified best alone, best first."""
BASES = ("dct", "learn", "random")
LEAST_HIDDEN = 4


def dct_bases() -> Tensor:
    """16 x 7 x 7 float64: cosines of TOP16, orthonormal."""
    places = (torch.arange(SIDE, dtype=torch.float64) + 0.5) * math.pi / SIDE
    rows = torch.stack([torch.cos(number * places) * math.sqrt((2 if number else 1) / SIDE) for number in range(SIDE)])
    return torch.stack([torch.outer(rows[down], rows[across]) for down, across in TOP16])


class FrequencyAttention(nn.Module):
    """N x C x H x W -> the same, each channel times a number in (0, 1); C a multiple of 16.

    The k-th sixteenth of the channels is seen through the k-th frequency; C/16 (at least 4) hidden units. `basis`:
    `dct`, fixed; `learn`, beginning as that; `random`, fixed draws from U(0, 1). 2 C^2 / 16 parameters from 64 channels
    on. The first weights are those of the authors' code, torch's own: from N(0, 0.02), as pix2pix's layers begin, every
    channel would get 0.5, and a short training would leave it there.
    """

    def __init__(self, channels: int, basis: str = "dct") -> None:
        """Raises `SettingError` for another number of channels or basis."""
        super().__init__()
        if channels % len(TOP16) or basis not in BASES:
            raise SettingError(f"Frequency attention needs a multiple of 16 channels and a basis of {', '.join(BASES)},"
                               f" not {channels} and {basis!r}.")
        seen = dct_bases().float()
        seen = seen.repeat_interleave(channels // len(TOP16), 0)
        if basis == "learn":
            self.basis = nn.Parameter(seen)
        else:
            self.register_buffer("basis", torch.rand_like(seen) if basis == "random" else seen)
        hidden = max(channels // 16, LEAST_HIDDEN)
        self.weigh = nn.Sequential(nn.Linear(channels, hidden, bias=False), nn.ReLU(),
                                   nn.Linear(hidden, channels, bias=False), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Weigh the channels."""
        strengths = (F.adaptive_avg_pool2d(x, SIDE) * self.basis).sum((2, 3))
        return x * self.weigh(strengths)[..., None, None]
