"""Coherent semantic attention: missing features are made one after the other, each from the known feature nearest to
it and from the one that was made just before.

Source: Liu, Jiang, Xiao, Yang, "Coherent semantic attention for image inpainting", ICCV 2019.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

THRESHOLD = 5 / 16
"""Of a feature's share of missing pixels, above which it is missing too (the authors' code)."""
LEAST = 1e-4
"""The least likeness to a known feature."""


def feature_hole(mask: Tensor, halvings: int = 3) -> Tensor:
    """N x 1 x H x W (1 = missing) -> N x 1 x h x w bool, True = missing: `halvings` times the mean of 4 x 4 pixels
    around every second one (what lies beyond the border is known), then a threshold."""
    for _ in range(halvings):
        mask = F.avg_pool2d(mask.float(), 4, 2, padding=1)
    return mask > THRESHOLD


def coherent(features: Tensor, hole: Tensor, identity_grad: bool = False) -> Tensor:
    """N x C x h x w, with the places in `hole` (N x 1 x h x w bool) made of the known ones, which stay as they are.

    A missing feature gives no gradient, as only the attention saw it, which counts as constant; with `identity_grad`
    the gradient of what was made in its place also reaches it (the authors' code; there a known feature's own gradient
    counts twice besides). A picture without a known place, or without a missing one, comes back as it is.
    """
    missing = hole.flatten(1)
    missing = missing & ~missing.all(1, keepdim=True)
    if not missing.any():
        return features
    with torch.autocast(features.device.type, enabled=False):
        places = features.float().flatten(2).transpose(1, 2)
        with torch.no_grad():
            order, rows = attention(places, missing)
        made = rows @ places
        beyond = places.new_zeros(len(places), 1, places.shape[2])  # where `order` puts what no place is for
        places = torch.cat([places, beyond], 1)
        index = order[..., None].expand_as(made)
        if identity_grad:
            own = places.gather(1, index)
            made = made + (own - own.detach())
        filled = places.scatter(1, index, made)[:, :-1]
        return filled.transpose(1, 2).reshape(features.shape).to(features.dtype)


def attention(places: Tensor, missing: Tensor) -> tuple[Tensor, Tensor]:
    """Of N x P x C features and N x P bool: the missing places in the order of reading, N x n, and how much each is
    made of every known place, N x n x P.

    A row has no negative value and a sum of 1. Where a picture has fewer missing places than n, the rest of `order` is
    P. The first row takes the nearest known feature whole. Each later one takes w of the feature made before and 1 - w
    of its nearest known one, w being its likeness to the former over the sum of both. Likeness is the cosine, to the
    feature before at least 0, to a known one at least `LEAST`, so that w lies in [0, 1].
    """
    count = missing.sum(1)
    most = int(count.max())
    order = (~missing).to(torch.uint8).argsort(dim=1, stable=True)[:, :most]
    directions = F.normalize(places, dim=2)
    own = directions.gather(1, order[..., None].expand(-1, -1, places.shape[2]))
    likeness = (own @ directions.transpose(1, 2)).masked_fill(missing[:, None], -torch.inf)
    best, nearest = likeness.max(2)
    best = best.clamp(min=LEAST)
    known = places.gather(1, nearest[..., None].expand_as(own))
    shares = places.new_zeros(len(places), most, 1)  # of what was made before
    before = known[:, 0]
    for step in range(1, most):
        near = (own[:, step] * F.normalize(before, dim=1)).sum(1, keepdim=True).clamp(min=0)
        shares[:, step] = near / (near + best[:, step, None])
        before = torch.lerp(known[:, step], before, shares[:, step])
    rows = places.new_zeros(len(places), most, places.shape[1]).scatter_(2, nearest[..., None], 1 - shares)
    for step in range(1, most):
        rows[:, step] += shares[:, step] * rows[:, step - 1]
    return order.masked_fill(torch.arange(most, device=order.device) >= count[:, None], places.shape[1]), rows
