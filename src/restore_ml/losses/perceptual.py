"""Distances of feature maps: perceptual (the maps themselves) and style (their Gram matrices).

`features` is a `restore_ml.nn.features.FeatureNet`; pictures are N x 3 x H x W RGB in [0, 1]. A term's name carries
the source of the features (`term_name`), because other weights make another figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from restore_ml.nn.features import FeatureNet


def term_name(what: str, features: FeatureNet) -> str:
    """`perceptual@minivgg-1a2b3c4d`."""
    return f"{what}@{features.source}"


def taps_of(features: FeatureNet, x: Tensor, taps: Iterable[str], *, normalise: bool = True) -> dict[str, Tensor]:
    """The maps of x as float32."""
    return {tap: value.float() for tap, value in features(x.float(), taps, normalise).items()}


def content(maps: Mapping[str, Tensor], target: Mapping[str, Tensor],
            weights: Mapping[str, float] | None = None) -> Tensor:
    """Sum over taps of weight x mean |difference| (all taps of `maps` with weight 1 by default)."""
    weights = dict.fromkeys(maps, 1.0) if weights is None else weights
    terms = [weight * F.l1_loss(maps[tap], target[tap].detach()) for tap, weight in weights.items()]
    return sum(terms[1:], terms[0])


def feature_error(features: FeatureNet | None, restored: Tensor, truth: Tensor, tap: str,
                  weight: float) -> dict[str, Tensor]:
    """weight x the mean squared difference of one tap, by name; nothing without features or with no weight.

    Source: the feature reconstruction loss of Johnson et al., ECCV 2016, as SRGAN has it (Ledig et al., CVPR 2017).
    """
    if features is None or weight <= 0:
        return {}
    with torch.no_grad():
        wanted = taps_of(features, truth, [tap])[tap]
    seen = taps_of(features, restored, [tap])[tap]
    return {term_name("perceptual", features): weight * F.mse_loss(seen, wanted)}


def gram(maps: Tensor) -> Tensor:
    """N x C x H x W -> N x C x C: products of channels summed over places, divided by C H W."""
    count, channels, height, width = maps.shape
    with torch.autocast(maps.device.type, enabled=False):  # long sums, which bf16 would round away
        flat = maps.float().reshape(count, channels, height * width)
        return flat @ flat.transpose(1, 2) / (channels * height * width)


def style(maps: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
    """Sum over taps of the mean |difference| of Gram matrices."""
    terms = [F.l1_loss(gram(maps[tap]), gram(target[tap]).detach()) for tap in maps]
    return sum(terms[1:], terms[0])
