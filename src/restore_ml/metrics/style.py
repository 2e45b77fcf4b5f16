"""Distances of feature maps from those of a photograph (content) and of a painting (style), as shares.

Maps are tensors N x C x H x W by tap, from any feature network, and not negative (after a ReLU). A share is |a - b|^2 /
(|a|^2 + |b|^2): 0 for the same, 1 for what has nothing in common, whatever the units. So all layers and all networks
count alike, those as well in which nearly nothing fires; a share of the wanted maps alone is of any height there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 1e-12
"""What is divided by at least: maps that are dead in both are the same."""


def gram(maps: Tensor) -> Tensor:
    """N x C x H x W -> N x C x C: products of channels, their mean over places (Gatys' F F^T divided by H W, so that
    pictures of two sizes can be compared)."""
    flat = maps.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def content_distance(maps: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
    """Mean over the taps of `wanted` of the share between the maps."""
    return _mean([_share(maps[tap], value) for tap, value in wanted.items()])


def style_distance(maps: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
    """The same of Gram matrices; maps and wanted ones may differ in height and width."""
    return _mean([_share(gram(maps[tap]), gram(value)) for tap, value in wanted.items()])


def _share(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().sum() / (a.square().sum() + b.square().sum()).clamp(min=LEAST)


def _mean(parts: list[Tensor]) -> Tensor:
    return sum(parts[1:], parts[0]) / len(parts)
