"""Small steps of networks that enlarge faces: the bicubic picture, ranges, the mean of what is known."""

from __future__ import annotations

import torch
from torch import Tensor

from restore_ml.degradations.resize import imresize
from restore_ml.tasks.face_super_resolution.task import SCALE


def bicubic(small: Tensor) -> Tensor:
    """N x C x h x w, enlarged eight times."""
    return imresize(small, float(SCALE))


def centred(pictures: Tensor) -> Tensor:
    """[0, 1] to [-1, 1]."""
    return 2 * pictures - 1


def to_unit(pictures: Tensor) -> Tensor:
    """[-1, 1] to [0, 1], clipped, as float32."""
    return ((pictures.float() + 1) / 2).clip(0, 1)


def known_mean(values: Tensor, known: Tensor) -> Tensor:
    """The mean of those values whose entry in `known` is true; 0 where there is none."""
    weights = known.to(values.dtype)
    return torch.where(known, values, torch.zeros_like(values)).sum() / weights.sum().clamp(min=1)
