"""Boxes as detectors use them: offsets from default boxes, and the suppression of those that overlap better ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from restore_ml.metrics.boxes import overlaps


def centred(boxes: Tensor) -> Tensor:
    """(left, top, right, bottom) to (centre x, centre y, width, height), ... x 4."""
    return torch.cat([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], -1)


def cornered(boxes: Tensor) -> Tensor:
    """The reverse of `centred`."""
    return torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)


def encode(boxes: Tensor, defaults: Tensor, variances: tuple[float, float]) -> Tensor:
    """The offsets that lead from default boxes (centre, size) to boxes (edges), ... x 4: centres by the default's size
    and the first variance, the logarithm of sizes by the second."""
    wanted = centred(boxes)
    return torch.cat([(wanted[..., :2] - defaults[..., :2]) / defaults[..., 2:] / variances[0],
                      torch.log(wanted[..., 2:] / defaults[..., 2:]) / variances[1]], -1)


def decode(offsets: Tensor, defaults: Tensor, variances: tuple[float, float]) -> Tensor:
    """The reverse of `encode`: boxes by their edges."""
    return cornered(torch.cat([defaults[..., :2] + offsets[..., :2] * variances[0] * defaults[..., 2:],
                               defaults[..., 2:] * torch.exp(offsets[..., 2:] * variances[1])], -1))


def shared_area(one: Tensor, other: Tensor) -> Tensor:
    """The area in common by the area of both of boxes (edges): N x 4 and M x 4 to N x M, 0 for boxes without area."""
    start = torch.maximum(one[:, None, :2], other[None, :, :2])
    end = torch.minimum(one[:, None, 2:], other[None, :, 2:])
    common = (end - start).clamp(min=0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1) for boxes in (one, other)]
    return common / (areas[0][:, None] + areas[1][None] - common).clamp(min=1e-9)


def suppressed(boxes: np.ndarray, scores: np.ndarray, most: float, keep: int) -> np.ndarray:
    """Non-maximum suppression: the rows of the boxes that stay (N x 4, edges), best first, at most `keep`. One goes
    where it overlaps a better one that stays by more than `most`; of equal scores the first is better."""
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    kept: list[int] = []
    while len(order) and len(kept) < keep:
        first, rest = order[0], order[1:]
        kept.append(int(first))
        order = rest[overlaps(boxes[first][None], boxes[rest])[0] <= most]
    return np.array(kept, np.int64)
