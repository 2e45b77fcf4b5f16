"""Between a task's arrays (numpy, channels last, dtypes of the disk) and a method's tensors (N x C x H x W float32)."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np
import torch
import torch.utils.data
from torch import Tensor

from restore_ml.tasks.base import ArraySpec

Name = TypeVar("Name", bound=Hashable)
ALIGNED = 64
"""Bytes; each tensor of a batch begins at a multiple of it, as torch's own do."""


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


def batch(samples: list[dict[Name, np.ndarray]], specs: Mapping[Name, ArraySpec]) -> dict[Name, Tensor]:
    """Stack equal-sized samples into one batch of tensors by name, in torch's channels_last layout.

    The values are those of `to_tensor` of each, written in one pass into one piece of memory. In a loader's worker the
    training process sees that memory too: a batch is handed over in one go and never copied.
    """
    layout, end = {}, 0
    for name, spec in specs.items():
        shape, dtype = samples[0][name].shape, torch.int64 if spec.kind == "number" else torch.float32
        size = len(samples) * math.prod(shape) * dtype.itemsize
        layout[name] = (slice(end, end + size), dtype, (len(samples), *shape))
        end += -(-size // ALIGNED) * ALIGNED
    memory, made = _memory(end), {}
    for name, (place, dtype, sizes) in layout.items():
        tensor = memory[place].view(dtype).view(sizes)
        filled, picture = tensor.numpy(), specs[name].kind == "picture"
        for slot, sample in enumerate(samples):
            if picture:
                np.divide(sample[name], np.float32(255), out=filled[slot])
            else:
                filled[slot] = sample[name]
        made[name] = tensor.permute(0, 3, 1, 2) if tensor.ndim == 4 else tensor
    return made


def _memory(size: int) -> Tensor:
    if torch.utils.data.get_worker_info() is None:
        return torch.empty(size, dtype=torch.uint8)
    storage = torch.UntypedStorage._new_shared(size)  # as torch's own collation of a worker's batch does
    return torch.empty(0, dtype=torch.uint8).set_(storage)
