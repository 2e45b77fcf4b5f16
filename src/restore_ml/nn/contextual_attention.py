"""Contextual attention (Yu et al., "Generative Image Inpainting with Contextual Attention", CVPR 2018): a map is
painted anew with patches of its known part, by how much each resembles what stands there.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALE = 10.0
"""Of the scores in the softmax: the best patch takes nearly all."""


class ContextualAttention(nn.Module):
    """(map N x C x H x W, mask N x 1 x kH x kW, 1 = hole) -> N x C x H x W, float32; H and W even. No parameters.

    Patches of 3 x 3 are compared on the map at half its size (every second value) and pasted from the map itself, 4 x 4
    there, overlapping by half and averaged. Where no patch is known the answer is 0.

    As in the released code, a patch that touches the hole scores 0 and still has its share in the softmax, which is
    taken from it afterwards; what lies beyond the border is 0 and known; a hole is where every second place says so;
    and at the border, where fewer pasted patches overlap, the sum stays smaller.

    reading: every second value is one of an even row and column; the released code's nearest values go from corner to
    corner, and so lie up to a place further on towards the end.
    """

    def attention(self, x: Tensor, mask: Tensor) -> Tensor:
        """N x L x L, L places of the smaller map row by row: how much each place (first) takes of each patch (last)."""
        small = x.float()[..., ::2, ::2]
        height, width = small.shape[-2:]
        patches = F.unfold(small, 3, padding=1)
        sources = patches / patches.norm(dim=1, keepdim=True).clamp(min=1e-4)
        valid = F.max_pool2d(F.interpolate(mask.float(), (height, width)), 3, 1, 1).flatten(2) == 0
        scores = fused(patches.mT @ sources, height, width) * valid
        return (scores * SCALE).softmax(-1) * valid

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """The map painted from its known patches, everywhere."""
        with torch.autocast(x.device.type, enabled=False):  # a softmax of tenfold scores, which bf16 would round away
            pasted = F.unfold(x.float(), 4, padding=1, stride=2) @ self.attention(x, mask).mT
            return F.fold(pasted, x.shape[-2:], 4, padding=1, stride=2) / 4


def fused(scores: Tensor, height: int, width: int) -> Tensor:
    """N x L x L, scores of places and patches (both row by row): each plus those of both one place before and of both
    one behind, along the rows and then the columns, so that neighbours prefer neighbouring patches."""
    n, places = len(scores), height * width
    scores = _along_the_diagonal(scores).view(n, height, width, height, width).permute(0, 2, 1, 4, 3)
    scores = _along_the_diagonal(scores.reshape(n, places, places)).view(n, width, height, width, height)
    return scores.permute(0, 2, 1, 4, 3).reshape(n, places, places)


def _along_the_diagonal(scores: Tensor) -> Tensor:
    padded = F.pad(scores, (1, 1, 1, 1))
    return padded[:, :-2, :-2] + scores + padded[:, 2:, 2:]
