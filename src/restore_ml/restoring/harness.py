"""The harness around every method's `restore`: optional and derived inputs, padding, tiling, composition, dtypes.

A method sees the model and the inputs, never the truth. What it declares (`inputs`, `derived`, `multiple`, `tile`,
`overlap`) decides what the harness does around it; how arrays are padded, cut and put together is their kind's affair.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from restore_ml import registry
from restore_ml.arrays import Arrays, ArraySpec, frame, shares_frame
from restore_ml.method import Method, Model
from restore_ml.seeds import generator
from restore_ml.tasks.base import Task


def restore(method: Method, model: Model, inputs: Arrays, seed: int) -> Arrays:
    """Restore one sample: the task's input arrays (channels last) -> the task's output arrays, known pixels kept.

    Optional inputs that the method does not name are left out, and what it derives is added. Arrays that share the
    frame (the first input that lies on a grid) are padded to `method.multiple` and, beyond `method.tile`, cut into
    tiles that are put together with linear cross-fades over `method.overlap` input pixels; others stay whole.
    Raises `ValueError` in a sentence for an output that the task does not declare or that is not finite.
    """
    task = registry.task(method.task)
    specs = {**task.inputs, **method.input_specs(registry.parts(method.task).optional)}
    taken = {name: value for name, value in inputs.items() if name in specs}
    if method.derived:
        taken |= method.derive(taken, None, generator(seed, "derive"))
    height, width = _size(taken, specs)
    if method.tile is None or max(height, width) <= method.tile:
        output = _restore_padded(task, method, model, taken, specs, seed)
    else:
        output = _restore_tiled(task, method, model, taken, specs, seed)
    return task.compose(inputs, _finish(task, output))


def _size(arrays: Mapping[str, np.ndarray], specs: Mapping[str, ArraySpec]) -> tuple[int, int]:
    """Height and width of the frame."""
    name = frame(specs)
    size = specs[name].kind.size(arrays[name])
    assert size is not None
    return size


def _restore_padded(task: Task, method: Method, model: Model, inputs: Arrays, specs: Mapping[str, ArraySpec],
                    seed: int) -> Arrays:
    """One piece, as float arrays in the tensors' units, cropped to the size that belongs to the inputs."""
    import torch

    from restore_ml.training.precision import autocast

    height, width = _size(inputs, specs)
    below, right = -height % method.multiple, -width % method.multiple
    batch = {}
    for name, value in inputs.items():
        padded = specs[name].kind.pad(value, below, right) if shares_frame(name, specs) else value
        # the maps of shards are read-only, and torch has a faster way with tensors whose channels come first
        batch[name] = specs[name].kind.to_tensor(padded[None].copy()).contiguous()
    with torch.no_grad(), autocast("cpu", model.precision):
        result = method.restore(model, batch, seed)
    output = {}
    for name, tensor in result.items():
        if name not in task.output:
            raise ValueError(f"{task.name} declares no output {name!r}; it wants {', '.join(task.output)}.")
        kind = task.output[name].kind
        value = kind.from_tensor(tensor[0])
        size = kind.size(value)
        scale = 1 if size is None else size[0] // (height + below)
        output[name] = kind.crop(value, slice(height * scale), slice(width * scale))
    return output


def _restore_tiled(task: Task, method: Method, model: Model, inputs: Arrays, specs: Mapping[str, ArraySpec],
                   seed: int) -> Arrays:
    assert method.tile is not None
    height, width = _size(inputs, specs)
    total: Arrays = {}
    weight: Arrays = {}
    for top, bottom in spans(height, method.tile, method.overlap, method.multiple):
        for left, right in spans(width, method.tile, method.overlap, method.multiple):
            piece = {name: specs[name].kind.crop(value, slice(top, bottom), slice(left, right))
                     if shares_frame(name, specs) else value for name, value in inputs.items()}
            for name, value in _restore_padded(task, method, model, piece, specs, seed).items():
                kind = task.output[name].kind
                size = kind.size(value)
                if size is None or not kind.blends(value):
                    raise ValueError(f"the output {name!r} ({kind.name}) cannot be put together from tiles, and the "
                                     f"picture of {width} x {height} pixels is larger than {method.tile}")
                scale = size[0] // (bottom - top)
                ramp = np.outer(_ramp(top, bottom, height, method.overlap, scale),
                                _ramp(left, right, width, method.overlap, scale))[:, :, None].astype(np.float32)
                rows, columns = slice(top * scale, bottom * scale), slice(left * scale, right * scale)
                if name not in total:
                    leading = value.shape[:kind.rows]
                    total[name] = np.zeros((*leading, height * scale, width * scale, value.shape[-1]), np.float32)
                    weight[name] = np.zeros((height * scale, width * scale, 1), np.float32)
                weight[name][rows, columns] += ramp
                kind.crop(total[name], rows, columns)[...] += value * ramp
    return {name: value / weight[name] for name, value in total.items()}


def spans(length: int, tile: int, overlap: int, multiple: int = 1) -> list[tuple[int, int]]:
    """Start and end of the tiles that cover `length`, none longer than `tile`, neighbours sharing at least `overlap`.

    Tiles are made as short as their number allows: a picture just beyond two tiles does not pay for three. All but the
    last start at a multiple of `multiple`: a network with strides sees the picture on its own grid there.

    >>> spans(100, 64, 16)
    [(0, 58), (42, 100)]
    """
    if length <= tile:
        return [(0, length)]
    most = (tile - overlap) // multiple * multiple
    if most < 1:
        raise ValueError(f"Tiles of {tile} that share {overlap} cannot start at multiples of {multiple}.")
    count = -(-(length - tile) // most) + 1
    step = min(most, -(-(length - overlap) // (count * multiple)) * multiple)
    size = min(tile, step + overlap)
    return [(start, start + size) for start in (*range(0, length - size, step), length - size)]


def _ramp(start: int, end: int, length: int, overlap: int, scale: int) -> np.ndarray:
    """Weights that rise over the overlap from each inner edge of a tile; 1 at the borders of the picture.

    The outermost quarter of the overlap counts nothing: there a network sees the tile's padding most.
    """
    size, edge = (end - start) * scale, overlap * scale
    position, margin = np.arange(size) + 0.5, edge // 4

    def rise(distance: np.ndarray) -> np.ndarray:
        return np.clip((distance - margin) / (edge - 2 * margin), 0.0, 1.0)

    ones = np.ones(size)
    return np.minimum(ones if start == 0 else rise(position), ones if end == length else rise(size - position))


def _finish(task: Task, output: Arrays) -> Arrays:
    """Into the dtypes that the task declares."""
    missing = set(task.output) - set(output) - set(task.optional_output)
    if missing:
        raise ValueError(f"{task.name} wants {', '.join(task.output)}; the method gave {', '.join(output)}.")
    finished = {}
    for name, value in output.items():
        if not np.isfinite(value).all():
            raise ValueError(f"the output {name} holds values that are not finite")
        finished[name] = task.output[name].kind.finish(value, task.output[name])
    return finished
