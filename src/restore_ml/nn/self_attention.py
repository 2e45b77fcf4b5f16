"""Self-attention over the positions of a feature map (Zhang et al., SAGAN, ICML 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d
from torch.nn.utils.parametrizations import spectral_norm

from restore_ml.errors import SettingError

LARGEST_MAP = 2**24
"""Attention weights held at once without gradients: more positions are worked off in groups of queries."""
POOLED_ABOVE = 4096
"""Positions; with `pool`, larger maps have their keys and values pooled (the method card of `sa_subpixel_sr`)."""


class SelfAttention(nn.Module):
    """out = x + gamma * sum over positions of attention * h(x), any N x C x H x W; gamma starts at 0 (identity).

    f and g are 1 x 1 convolutions C -> C / reduction (queries and keys), h is 1 x 1 C -> C; attention is the softmax of
    their products over the source positions, without scaling. For C = 64 and reduction 8: 5,201 parameters.

    `pool`: on maps of more than `POOLED_ABOVE` positions keys and values are pooled 2 x 2 (an odd edge on its own), so
    that a quarter of the source positions is left. reading: the largest value is kept, as in SAGAN's own code.
    """

    def __init__(self, channels: int, reduction: int = 8, spectral: bool = False, pool: bool = False) -> None:
        """`spectral`: spectral normalisation of the three convolutions. SettingError when C / reduction is below 1."""
        super().__init__()
        inner = channels // reduction
        if inner < 1:
            raise SettingError(f"Self-attention with reduction {reduction} needs at least {reduction} channels, "
                               f"not {channels}.")
        wrap = spectral_norm if spectral else (lambda layer: layer)
        self.query = wrap(nn.Conv2d(channels, inner, 1))
        self.key = wrap(nn.Conv2d(channels, inner, 1))
        self.value = wrap(nn.Conv2d(channels, channels, 1))
        self.gamma = nn.Parameter(torch.zeros(()))
        self.pool = pool

    def attention(self, x: Tensor) -> Tensor:
        """The map N x HW x K: row i holds the weights of all source positions for position i and sums to 1; K is HW, or
        ceil(H / 2) ceil(W / 2) where they are pooled."""
        return _softmax(self.query(x).flatten(2), self._sources(self.key(x)))

    def forward(self, x: Tensor) -> Tensor:
        """Attend; the same shape as `x`."""
        query, key, value = self.query(x).flatten(2), self._sources(self.key(x)), self._sources(self.value(x))
        group = query.shape[2] if torch.is_grad_enabled() else max(1, LARGEST_MAP // (key.shape[2] * x.shape[0]))
        parts = [torch.bmm(value, _softmax(part, key).mT) for part in query.split(group, dim=2)]
        return x + self.gamma * torch.cat(parts, dim=2).unflatten(2, x.shape[2:])

    def _sources(self, made: Tensor) -> Tensor:
        """Keys or values N x C x H x W as N x C x K."""
        pooled = self.pool and made.shape[2] * made.shape[3] > POOLED_ABOVE
        return (max_pool2d(made, 2, ceil_mode=True) if pooled else made).flatten(2)


def _softmax(query: Tensor, key: Tensor) -> Tensor:
    return torch.bmm(query.mT, key).softmax(dim=-1)
