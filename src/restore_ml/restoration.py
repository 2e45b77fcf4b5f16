"""The harness around every method's `restore`: padding, tiling, composition, dtypes.

A method sees the model and the inputs, never the truth. What it declares (`multiple`, `tile`, `overlap`,
`unsupported`) decides what the harness does around it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from restore_ml import registry
from restore_ml.errors import UserError
from restore_ml.files import read_json
from restore_ml.method import Method, Model
from restore_ml.model_files import fill, read_arrays
from restore_ml.tasks.base import Task

Arrays = dict[str, np.ndarray]


def load_model(folder: Path, root: Path | None = None) -> tuple[Method, Model]:
    """The method and the model that a model folder (models/<task>/<run>, champions/<task>/champion) holds.

    `root` is the project, where the runs in its slots lie; only methods that use them while restoring look there.
    Raises `UserError` when there is no usable model.
    """
    facts = read_json(folder / "model.json")
    if facts["status"] != "ok":
        raise UserError(f"The run {facts['run']} has no model: {facts['status']}, {facts['reason']}")
    method = registry.method(facts["task"], facts["method"], facts["settings"])
    model = Model()
    if facts.get("arrays_sha256"):
        model.arrays = read_arrays(folder / "arrays.safetensors", facts["arrays_sha256"], "np")
    method.constants = model.arrays
    if method.trains:
        _load_networks(method, model, folder / "weights.safetensors", facts["weights_sha256"])
    used = {slot: run for slot, run in facts.get("slots", {}).items() if slot in method.restoring_slots}
    if used and root is not None:
        from restore_ml.training.slots import load_slots

        model.slots = load_slots(root, used, {})
    return method, model


def _load_networks(method: Method, model: Model, path: Path, digest: str) -> None:
    import torch

    weights = read_arrays(path, digest)
    with torch.random.fork_rng():
        networks = {name: network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
                    for name, network in method.networks().items()}  # a quarter less time for a convolution
    for name in method.restores_with:
        start = f"{name}."
        fill(networks[name], {key[len(start):]: value for key, value in weights.items() if key.startswith(start)}, path)
        model.networks[name] = networks[name].eval().requires_grad_(False)


def restore(method: Method, model: Model, inputs: Arrays, seed: int) -> Arrays:
    """Restore one sample: the task's input arrays (channels last) -> the task's output arrays, known pixels kept.

    Pads by reflection to `method.multiple` (padding counts as known in masks) and tiles pictures beyond `method.tile`
    with linear cross-fades over `method.overlap` input pixels.
    """
    task = registry.task(method.task)
    height, width = _size(inputs)
    if method.tile is None or max(height, width) <= method.tile:
        output = _restore_padded(task, method, model, inputs, seed)
    else:
        output = _restore_tiled(task, method, model, inputs, seed)
    return task.compose(inputs, _finish(task, output))


def _size(inputs: Arrays) -> tuple[int, int]:
    return next((value.shape[0], value.shape[1]) for value in inputs.values() if value.ndim == 3)


def _restore_padded(task: Task, method: Method, model: Model, inputs: Arrays, seed: int) -> Arrays:
    """One piece, as float arrays in the tensors' units, cropped to the size that belongs to the inputs."""
    import torch

    from restore_ml.tensors import to_tensor
    from restore_ml.training.precision import autocast

    height, width = _size(inputs)
    padded = {name: _pad(value, task.inputs[name].kind, method.multiple) for name, value in inputs.items()}
    batch = {name: to_tensor(value, task.inputs[name])[None] for name, value in padded.items()}
    with torch.no_grad(), autocast("cpu", model.precision):
        result = method.restore(model, batch, seed)
    full_height = _size(padded)[0]
    output = {}
    for name, tensor in result.items():
        value = tensor[0].detach().float().cpu().numpy().transpose(1, 2, 0)
        scale = value.shape[0] // full_height
        output[name] = value[: height * scale, : width * scale]
    return output


def _pad(value: np.ndarray, kind: str, multiple: int) -> np.ndarray:
    if value.ndim != 3 or multiple == 1:
        return value
    below, right = -value.shape[0] % multiple, -value.shape[1] % multiple
    edges = ((0, below), (0, right), (0, 0))
    if kind == "mask":
        return np.pad(value, edges)
    reflect = below < value.shape[0] and right < value.shape[1]
    return np.pad(value, edges, mode="reflect" if reflect else "symmetric")


def _restore_tiled(task: Task, method: Method, model: Model, inputs: Arrays, seed: int) -> Arrays:
    assert method.tile is not None
    height, width = _size(inputs)
    total: Arrays = {}
    weight = np.zeros(0)
    for top, bottom in spans(height, method.tile, method.overlap, method.multiple):
        for left, right in spans(width, method.tile, method.overlap, method.multiple):
            piece = {name: value[top:bottom, left:right] if value.ndim == 3 else value
                     for name, value in inputs.items()}
            output = _restore_padded(task, method, model, piece, seed)
            scale = next(iter(output.values())).shape[0] // (bottom - top)
            if not total:
                total = {name: np.zeros((height * scale, width * scale, value.shape[2]), np.float32)
                         for name, value in output.items()}
                weight = np.zeros((height * scale, width * scale, 1), np.float32)
            ramp = np.outer(_ramp(top, bottom, height, method.overlap, scale),
                            _ramp(left, right, width, method.overlap, scale))[:, :, None].astype(np.float32)
            place = (slice(top * scale, bottom * scale), slice(left * scale, right * scale))
            weight[place] += ramp
            for name, value in output.items():
                total[name][place] += value * ramp
    return {name: value / weight for name, value in total.items()}


def spans(length: int, tile: int, overlap: int, multiple: int = 1) -> list[tuple[int, int]]:
    """Start and end of the tiles that cover `length`, none longer than `tile`, neighbours sharing at least `overlap`.

    Tiles are made as short as their number allows: a picture just beyond two tiles does not pay for three. All but the
    last start at a multiple of `multiple`: a network with strides sees the picture on its own grid there.
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
    if missing or set(output) - set(task.output):
        raise ValueError(f"{task.name} wants {', '.join(task.output)}; the method gave {', '.join(output)}.")
    finished = {}
    for name, value in output.items():
        if not np.isfinite(value).all():
            raise ValueError(f"the output {name} holds values that are not finite")
        picture = task.output[name].kind == "picture"
        finished[name] = (np.rint(np.clip(value, 0.0, 1.0) * 255.0).astype(np.uint8) if picture
                          else np.ascontiguousarray(value, dtype=np.float32))
    return finished
