"""Between a task's arrays (numpy, channels last, dtypes of the disk) and a method's tensors (N x C x H x W float32)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from restore_ml.tasks.base import ArraySpec


def to_tensor(array: np.ndarray, spec: ArraySpec) -> Tensor:
    """One array as a tensor without batch axis: pictures in [0, 1], masks {0, 1}, floats unchanged, numbers int64."""
    if spec.kind == "number":
        return torch.tensor(int(array), dtype=torch.int64)
    tensor = torch.from_numpy(array.transpose(2, 0, 1).copy())  # the maps of shards are read-only
    return tensor.float() / 255.0 if spec.kind == "picture" else tensor.float()


def to_array(tensor: Tensor, spec: ArraySpec) -> np.ndarray:
    """The reverse for one C x H x W tensor: pictures are clipped and rounded to 8 bit (half to even)."""
    array = tensor.detach().float().cpu().numpy().transpose(1, 2, 0)
    if spec.kind == "picture":
        return np.rint(np.clip(array, 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.ascontiguousarray(array.astype(np.uint8 if spec.kind == "mask" else np.float32))


def floats(stacked: np.ndarray, spec: ArraySpec, device: torch.device) -> Tensor:
    """A batch of arrays on the device, channels last in memory as on the disk: what `to_tensor` makes of each. It is
    made float there: what travels to it, from a loader's worker and to a card, are the bytes of the disk, a quarter
    as many."""
    moved = torch.from_numpy(stacked).to(device)
    if spec.kind == "number":
        return moved.long()
    made = moved / 255.0 if spec.kind == "picture" else moved.float()
    return made.permute(0, 3, 1, 2)
