"""Distances of feature maps from those of a photograph (content) and of a painting (style), as shares of these.

Maps are tensors N x C x H x W by tap, from any feature network. As shares, all layers and all networks count alike:
0 for the same maps, 1 where there is nothing at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 1e-12
"""What a share is at least of: maps that are dead throughout are no division by nothing."""


def gram(maps: Tensor) -> Tensor:
    """N x C x H x W -> N x C x C: products of channels, their mean over places (Gatys' F F^T divided by H W, so that
    pictures of two sizes can be compared)."""
    flat = maps.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def content_distance(maps: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
    """Mean over the taps of `wanted` of mean (difference of maps)^2 / mean (wanted map)^2."""
    return _mean([_share(maps[tap], value) for tap, value in wanted.items()])


def style_distance(maps: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
    """The same of Gram matrices; maps and wanted ones may differ in height and width."""
    return _mean([_share(gram(maps[tap]), gram(value)) for tap, value in wanted.items()])


def _share(value: Tensor, wanted: Tensor) -> Tensor:
    return (value - wanted).square().mean() / wanted.square().mean().clamp(min=LEAST)


def _mean(parts: list[Tensor]) -> Tensor:
    return sum(parts[1:], parts[0]) / len(parts)
