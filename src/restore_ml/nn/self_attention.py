"""Self-attention over the positions of a feature map (Zhang et al., SAGAN, ICML 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, pad, scaled_dot_product_attention
from torch.nn.utils.parametrizations import spectral_norm

from restore_ml.base.errors import SettingError

POOLED_ABOVE = 4096
"""Positions; with `pool`, larger maps have their keys and values pooled (the method card of `sa_subpixel_sr`)."""


class SelfAttention(nn.Module):
    """out = x + gamma * sum over positions of attention * h(x), any N x C x H x W; gamma starts at 0 (identity).

    f and g are 1 x 1 convolutions C -> C / reduction (queries and keys), h is 1 x 1 C -> C; attention is the softmax of
    their products over the source positions, without scaling. For C = 64 and reduction 8: 5,201 parameters.

    `pool`: on maps of more than `POOLED_ABOVE` positions keys and values are pooled 2 x 2 (an odd edge on its own), so
    that a quarter of the source positions is left. reading: the largest value is kept, as in SAGAN's own code.
    `factor` above 1: they are pooled by it instead, on maps of any size.
    `value_reduction` above 1: h is C -> C / value_reduction, and a further 1 x 1 convolution leads back to C (SAGAN's
    own code has 2). For C = 32, reduction 8 and value_reduction 2: 1,337 parameters.
    """

    def __init__(self, channels: int, reduction: int = 8, spectral: bool = False, pool: bool = False,
                 value_reduction: int = 1, factor: int = 1) -> None:
        """`spectral`: spectral normalisation of the convolutions. SettingError when C / reduction is below 1."""
        super().__init__()
        inner = channels // reduction
        if inner < 1:
            raise SettingError(f"Self-attention with reduction {reduction} needs at least {reduction} channels, "
                               f"not {channels}.")
        wrap = spectral_norm if spectral else (lambda layer: layer)
        self.query = wrap(nn.Conv2d(channels, inner, 1))
        self.key = wrap(nn.Conv2d(channels, inner, 1))
        self.value = wrap(nn.Conv2d(channels, channels // value_reduction, 1))
        back = nn.Identity() if value_reduction == 1 else wrap(nn.Conv2d(channels // value_reduction, channels, 1))
        self.gamma, self.back = nn.Parameter(torch.zeros(())), back
        self.pool, self.factor = pool, factor

    def attention(self, x: Tensor) -> Tensor:
        """The map (N, HW, K): row i holds the weights of all source positions for position i and sums to 1; K is HW, or
        ceil(H / 2) ceil(W / 2) where they are pooled by 2. `forward` gives the same without holding this map."""
        return torch.bmm(self.query(x).flatten(2).mT, self._sources(self.key(x))).softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """Attend; the same shape as `x`."""
        value = self._sources(self.value(x)).mT
        # Zeros beside queries and keys leave their products alone, and torch's fused attention wants one width: it
        # needs a third of the time of softmax and two products, and no N x HW x K numbers at once.
        query, key = (pad(rows.mT, (0, value.shape[2] - rows.shape[1]))
                      for rows in (self.query(x).flatten(2), self._sources(self.key(x))))
        attended = scaled_dot_product_attention(query[:, None], key[:, None], value[:, None], scale=1.0)[:, 0]
        return x + self.gamma * self.back(attended.mT.unflatten(2, x.shape[2:]))

    def _sources(self, maps: Tensor) -> Tensor:
        """Keys or values (N, C, H, W) as (N, C, K)."""
        if self.factor > 1:
            return max_pool2d(maps, self.factor, ceil_mode=True).flatten(2)
        pooled = self.pool and maps.shape[2] * maps.shape[3] > POOLED_ABOVE
        return (max_pool2d(maps, 2, ceil_mode=True) if pooled else maps).flatten(2)
