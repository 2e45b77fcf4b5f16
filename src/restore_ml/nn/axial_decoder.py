"""Axial attention on condition: layers that are told, at each position and as a whole, of another map.

Source: Kumar, Weissenborn, Kalchbrenner, "Colorization Transformer", ICLR 2021, and the authors' code. Maps are
N x H x W x channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.nn.axial_attention import EPSILON, AxialAttention, Positions, feed_forward, glorot

Affine = tuple[Tensor, Tensor]
"""What multiplies and what is added."""


class ConditionalNorm(nn.Module):
    """Layer normalisation whose scale and shift come from the whole context: its mean over the positions, each with a
    learnt weight, and a dense layer."""

    def __init__(self, hidden: int, side: int) -> None:
        super().__init__()
        self.weights, self.dense = nn.Parameter(torch.ones(side, side, 1)), nn.Linear(hidden, 2 * hidden)
        glorot(self.dense)

    def affine(self, context: Tensor) -> Affine:
        """Scale and shift, N x 1 x 1 x hidden each, of a context N x side x side x hidden."""
        scale, shift = self.dense((self.weights * context).mean((1, 2), keepdim=True)).chunk(2, -1)
        return scale, shift

    def forward(self, x: Tensor, affine: Affine) -> Tensor:
        """Normalise over the channels, scale, shift."""
        return F.layer_norm(x, x.shape[-1:], eps=EPSILON) * affine[0] + affine[1]


class AxialDecoder(nn.Module):
    """Attention layers, each followed by a dense block whose output a dense layer of the context scales and shifts;
    each is added to its input and the sum normalised on condition."""

    def __init__(self, attention: Sequence[AxialAttention], hidden: int, inner: int, context: int, side: int) -> None:
        super().__init__()
        self.positions, self.attention = Positions(side, hidden), nn.ModuleList(attention)
        self.dense = nn.ModuleList(feed_forward(hidden, inner) for _ in attention)
        self.affine = nn.ModuleList(nn.Linear(context, 2 * hidden) for _ in attention)
        self.norms = nn.ModuleList(ConditionalNorm(hidden, side) for _ in range(2 * len(attention)))
        for layer in self.affine:
            glorot(layer)

    def affines(self, z: Tensor) -> list[Affine]:
        """Of all normalisations, from the grey picture's whole encoding, which is known before any colour is."""
        return [norm.affine(z) for norm in self.norms]  # type: ignore[operator]

    def forward(self, x: Tensor, context: Tensor, affines: Sequence[Affine]) -> Tensor:
        """`x` and `context` at the same positions."""
        norms = iter(zip(self.norms, affines, strict=True))
        for attention, dense, affine in zip(self.attention, self.dense, self.affine, strict=True):
            norm, given = next(norms)
            x = norm(x + attention(x, context), given)
            scale, shift = affine(context).chunk(2, -1)
            norm, given = next(norms)
            x = norm(x + dense(x) * scale + shift, given)
        return x
