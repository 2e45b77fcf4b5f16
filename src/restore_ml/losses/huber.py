"""Huber's loss of N x C x H x W tensors: a float32 scalar."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def huber(x: Tensor, target: Tensor, bend: float) -> Tensor:
    """Huber's loss over `bend`: d^2 / (2 bend) below `bend` and |d| - bend / 2 above, summed over channels and
    averaged over pixels and pictures."""
    return F.smooth_l1_loss(x.float(), target, beta=bend, reduction="none").sum(1).mean()
