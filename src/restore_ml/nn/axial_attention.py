"""Axial self-attention: every position of a map attends to those of its own row, or of its own column.

Source: Ho et al., "Axial attention in multidimensional transformers", 2019, in the form of the Colorization Transformer
(Kumar, Weissenborn, Kalchbrenner, ICLR 2021) and its authors' code. Maps are N x H x W x channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.base.errors import SettingError

EPSILON = 1e-3
"""Of the layer normalisations: that of the library in which the authors' code is written."""


class AxialAttention(nn.Module):
    """The same shape out, over rows (`axis` 2) or columns (`axis` 1) of at most `length` positions.

    Queries, keys and values of each of `heads` heads and the way out are matrices without bias; a head has a learnt
    bias for every distance between two positions, 0 at first (2 x length numbers, the last of which stands for no
    distance). `masked`: no position sees a later one of its line. With `context` channels, queries, keys and values are
    each multiplied by a scale and then moved by a shift, which are projections without bias of the context there.
    """

    def __init__(self, hidden: int, heads: int, length: int, axis: int, masked: bool = False, context: int = 0) -> None:
        """SettingError where the heads cannot share the channels."""
        super().__init__()
        if hidden % heads:
            raise SettingError(f"{heads} heads of attention cannot share {hidden} channels; their number must divide "
                               "that of the channels.")
        self.heads, self.axis, self.masked = heads, axis, masked
        self.inner = nn.Linear(hidden, 3 * hidden, bias=False)
        self.out = nn.Linear(hidden, hidden, bias=False)
        self.distances = nn.Parameter(torch.zeros(heads, 2 * length))
        self.condition = nn.Linear(context, 6 * hidden, bias=False) if context else None
        for matrix in (self.inner.weight, self.out.weight, *(() if self.condition is None else
                                                             (self.condition.weight,))):
            for part in matrix.detach().split(hidden):
                nn.init.xavier_uniform_(part)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Attend; `context` N x H x W x its channels."""
        parts = self.inner(x).chunk(3, -1)
        if self.condition is not None:
            given = self.condition(context).chunk(6, -1)
            parts = tuple(part * scale + shift for part, scale, shift in zip(parts, given[:3], given[3:], strict=True))
        order = (0, 2, 3, 1, 4) if self.axis == 1 else (0, 1, 3, 2, 4)  # picture, line, head, position, channel
        query, key, value = (part.unflatten(-1, (self.heads, -1)).permute(order) for part in parts)
        attended = F.scaled_dot_product_attention(query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1),
                                                  self.bias(key.shape[3]).to(query.dtype))
        attended = attended.unflatten(0, query.shape[:2])
        back = (0, 3, 1, 2, 4) if self.axis == 1 else (0, 1, 3, 2, 4)
        return self.out(attended.permute(back).flatten(3))

    def bias(self, length: int) -> Tensor:
        """heads x length x length: what is added to the likeness of query and key, minus infinity where it is masked.
        Slices instead of an index: their gradient is summed in the same order everywhere."""
        whole = self.distances.shape[1] // 2
        windows = self.distances[:, :-1].unfold(1, length, 1)  # window w begins with the distance w - (whole - 1)
        bias = windows[:, whole - length:whole].flip(1)
        if self.masked:
            later = torch.ones(length, length, dtype=torch.bool, device=bias.device).triu(1)
            bias = bias.masked_fill(later, -torch.inf)
        return bias


class Positions(nn.Module):
    """Adds to each position the learnt vectors of its row and of its column, N(0, 1 / channels) at first."""

    def __init__(self, side: int, channels: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.randn(side, 1, channels) * channels ** -0.5)
        self.columns = nn.Parameter(torch.randn(side, channels) * channels ** -0.5)

    def forward(self, x: Tensor, row: int = 0) -> Tensor:
        """`x` begins at this row and at the first column, and may be smaller than the whole."""
        return x + self.rows[row:row + x.shape[1]] + self.columns[:x.shape[2]]


def feed_forward(hidden: int, inner: int) -> nn.Sequential:
    """Two dense layers with ReLU between, each position on its own."""
    layers = nn.Sequential(nn.Linear(hidden, inner), nn.ReLU(), nn.Linear(inner, hidden))
    for layer in (layers[0], layers[2]):
        glorot(layer)
    return layers


def glorot(layer: nn.Module) -> None:
    """Glorot's uniform start, bias 0; of an embedding as of the dense layer behind a one-hot vector."""
    nn.init.xavier_uniform_(layer.weight)  # type: ignore[arg-type]
    if getattr(layer, "bias", None) is not None:
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


class AxialEncoder(nn.Module):
    """Positions, then `layers` times attention over rows, a dense block, attention over columns, a dense block; each is
    added to its input, and the sum normalised over the channels. Maps of `side` x `side`."""

    def __init__(self, hidden: int, inner: int, heads: int, layers: int, side: int) -> None:
        super().__init__()
        self.positions = Positions(side, hidden)
        self.layers = nn.ModuleList(layer for _ in range(layers) for layer in (
            AxialAttention(hidden, heads, side, 2), feed_forward(hidden, inner),
            AxialAttention(hidden, heads, side, 1), feed_forward(hidden, inner)))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden, EPSILON) for _ in self.layers)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        x = self.positions(x)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(x + layer(x))
        return x
