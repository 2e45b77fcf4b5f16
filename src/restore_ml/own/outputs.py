"""What a person's function gives, as the arrays that its task declares; what is wrong with it is a sentence.

| it gives | it is read as |
|---|---|
| an array | the task's output, where the task has one; a mapping names several |
| uint8 H x W x C of a picture | itself; other whole numbers from 0 to 255 as well |
| floats of a picture | from 0 to 1, made 8 bit as a method's output is (clipped, half to even) |
| a tensor of torch | channels first, with or without a batch axis of 1 |
| H x W of one channel | H x W x 1 |
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from restore_ml.arrays import Arrays, ArraySpec
from restore_ml.kinds import CLIP, PICTURE
from restore_ml.tasks.base import Task

SLACK = 0.5
"""How far beyond [0, 1] the floats of a picture may lie: networks overshoot, but 0 to 255 or -1 to 1 is a mistake."""


def adapted(task: Task, value: Any) -> Arrays:
    """The arrays of the task in the kinds of the disk; `ValueError` in a sentence for what they cannot be.

    Sizes are not looked at: `restore_ml.evaluation.scoring.check` does it for every run.
    """
    if value is None:
        raise ValueError("the function gave nothing (None); end it with `return`")
    wanted = [name for name in task.output if name not in task.optional_output]
    if not isinstance(value, Mapping):
        if len(wanted) != 1:
            raise ValueError(f"the function gave one array; {task.name} wants a mapping with {', '.join(wanted)}")
        value = {wanted[0]: value}
    for name in value:
        if name not in task.output:
            raise ValueError(f"the function gave {name!r}; {task.name} wants {', '.join(wanted)}")
    return {name: _adapted(name, item, task.output[name]) for name, item in value.items()}


def _adapted(name: str, value: Any, spec: ArraySpec) -> np.ndarray:
    kind = spec.kind
    array = _of_tensor(name, value, spec) if _is_tensor(value) else _plain(name, value)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise ValueError(f"{name!r} holds values that are not finite (NaN or infinite): {bad} of {array.size}")
    if kind.rows is not None:
        array = _on_grid(name, array, spec)
    if kind in (PICTURE, CLIP) and array.dtype.kind == "f":
        return kind.finish(_within(name, array), spec)
    if array.dtype == kind.dtype:
        return array.copy(order="C")
    if np.dtype(kind.dtype).kind == "f" or (array.dtype.kind == "f" and array.ndim > 0):
        return kind.finish(array, spec)  # other floats; scores of classes, a mask's shares
    return _whole(name, array, spec)


def _on_grid(name: str, array: np.ndarray, spec: ArraySpec) -> np.ndarray:
    """With an axis of channels and without a batch axis of 1."""
    rank, shape = spec.kind.rank, array.shape
    if array.ndim == rank - 1 and spec.channels == 1:
        array = array[..., None]
    elif array.ndim == rank + 1 and shape[0] == 1:
        array = array[0]
    if array.ndim != rank:
        raise ValueError(f"{name!r} is an array of shape {shape}; one {spec.kind.name} is "
                         f"{'T x H x W x C' if spec.kind is CLIP else 'H x W x C'}")
    return array


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _plain(name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind not in "buif":
        raise ValueError(f"{name!r} is no array of numbers but {type(value).__name__}")
    return array


def _of_tensor(name: str, tensor: Any, spec: ArraySpec) -> np.ndarray:
    """Channels last, in the tensor's own type; without a batch axis of 1."""
    value = tensor.detach().cpu()
    shape = tuple(value.shape)
    if value.ndim == spec.kind.rank + 1 and shape[0] == 1:
        value = value[0]
    if spec.kind.rows is not None and value.ndim != spec.kind.rank:
        raise ValueError(f"{name!r} is a tensor of shape {shape}; a tensor of one {spec.kind.name} has "
                         f"{'T x C x H x W' if spec.kind is CLIP else 'C x H x W'}, with or without a batch axis of 1")
    if value.dtype.is_floating_point:
        return spec.kind.from_tensor(value)
    array = value.numpy()
    return array if spec.kind.rows is None else np.moveaxis(array, spec.kind.rows, -1)


def _within(name: str, array: np.ndarray) -> np.ndarray:
    """The floats of a picture, if they can be meant from 0 to 1."""
    if array.size and (array.min() < -SLACK or array.max() > 1 + SLACK):
        raise ValueError(f"{name!r} holds floats from {array.min():.4g} to {array.max():.4g}; give a picture as uint8 "
                         "from 0 to 255, or as floats from 0 to 1")
    return array


def _whole(name: str, array: np.ndarray, spec: ArraySpec) -> np.ndarray:
    """Whole numbers in the type of the disk, where they fit into it."""
    low, high = spec.range
    if array.dtype.kind == "f" and not (array == np.rint(array)).all():
        raise ValueError(f"{name!r} holds fractions ({array.dtype}); give whole numbers of {spec.kind.dtype}")
    if array.size and ((low is not None and array.min() < low) or (high is not None and array.max() > high)):
        raise ValueError(f"{name!r} holds values from {array.min()} to {array.max()}; they must lie from {low:g} to "
                         f"{'any number' if high is None else f'{high:g}'}")
    return array.astype(spec.kind.dtype, order="C")
