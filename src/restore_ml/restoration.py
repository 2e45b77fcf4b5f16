"""The harness around every method's `restore`: padding, tiling, composition, dtypes, and the stage that uses it.

A method sees the model and the inputs, never the truth. What it declares (`multiple`, `tile`, `overlap`,
`unsupported`) decides what the harness does around it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from restore_ml import layout, registry
from restore_ml.costs import write as write_costs
from restore_ml.data import shards
from restore_ml.errors import UserError
from restore_ml.files import read_json, scarce, write_json
from restore_ml.method import Method, Model
from restore_ml.model_files import fit, read_arrays
from restore_ml.seeds import derive
from restore_ml.tasks.base import Task

Arrays = dict[str, np.ndarray]
Progress = Callable[[str, int, int], None]
"""progress(case, pictures done, pictures of all cases)"""


def load_model(folder: Path, root: Path | None = None) -> tuple[Method, Model]:
    """The method and the model that a model folder (models/<run>, champions/<task>/champion) holds.

    `root` is the project, where the run that this one needs lies; only methods that use features while restoring
    look there. Raises `UserError` when there is no usable model.
    """
    facts = read_json(folder / "model.json")
    if facts["status"] != "ok":
        raise UserError(f"The run {facts['run']} has no model: {facts['status']}, {facts['reason']}")
    method = registry.method_class(facts["task"], facts["method"])(facts["settings"])
    model = Model()
    if facts.get("arrays_sha256"):
        model.arrays = read_arrays(folder / "arrays.safetensors", facts["arrays_sha256"], "np")
    method.constants = model.arrays
    if method.trains:
        _load_networks(method, model, folder / "weights.safetensors", facts["weights_sha256"])
    if facts["needs"] != "none" and method.restoring_needs_features and root is not None:
        from restore_ml.training.features import load_needed

        model.features = load_needed(root, facts["needs"], {})
    return method, model


def _load_networks(method: Method, model: Model, path: Path, digest: str) -> None:
    import torch

    weights = read_arrays(path, digest)
    with torch.random.fork_rng():
        networks = {name: network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
                    for name, network in method.networks().items()}  # a quarter less time for a convolution
    fit(lambda: method.load(networks, weights), path)
    model.networks = {name: networks[name].eval().requires_grad_(False) for name in method.stored_networks}


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


def restore_run(spec: dict[str, Any], root: Path, out: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Restore every test case of a task with one run: the library side of the stage `restore`.

    Writes one shard a case and status.json. A run without a model, a case that it does not support and a picture on
    which it fails are written down with their reasons; the others go on. `transient` in status.json says that memory
    was lacking for one of them.
    """
    import torch

    torch.set_num_threads(spec["threads"])
    inputs = root / layout.SAMPLES / spec["task"] / "inputs"
    cases = sorted(path.relative_to(inputs).with_suffix("").as_posix() for path in inputs.glob("*/*.arrow"))
    facts: dict[str, Any] = {"run": spec["run"], "status": "ok", "reason": "", "cases": {}, "multiply_adds": None}
    costs = _Costs()
    out.mkdir(parents=True, exist_ok=True)
    try:
        method, model = load_model(root / layout.MODELS / spec["run"], root)
    except UserError as error:
        model_facts = read_json(root / layout.MODELS / spec["run"] / "model.json")
        facts |= {"status": model_facts["status"], "reason": model_facts["reason"] or str(error)}
        facts["cases"] = {case: {"status": "failed", "reason": facts["reason"], "failed": {}} for case in cases}
        write_json(out / "status.json", facts)
        return facts
    total = sum(len(shards.Shard(inputs / f"{case}.arrow")) for case in cases)
    for case in cases:
        reason = method.unsupported(case.split("/")[1])
        entry: dict[str, Any] = {"status": "unsupported" if reason else "ok", "reason": reason or "", "failed": {}}
        facts["cases"][case] = entry
        if reason:
            total -= len(shards.Shard(inputs / f"{case}.arrow"))
            continue
        records = _restored(method, model, shards.Shard(inputs / f"{case}.arrow"), case, spec, entry, costs, facts,
                            progress, total)
        if not shards.write(out / f"{case}.arrow", records) and entry["failed"]:
            entry |= {"status": "failed", "reason": next(iter(entry["failed"].values()))}
    write_json(out / "status.json", facts)
    costs.write(root, out)
    return facts


class _Costs:
    """Seconds and megapixels restored: what is shown beside the tables and never tracked."""

    def __init__(self) -> None:
        self.started, self.seconds, self.megapixels, self.pictures = time.monotonic(), 0.0, 0.0, 0

    def write(self, root: Path, out: Path) -> None:
        rate = 1000 * self.seconds / self.megapixels if self.megapixels else None
        write_costs(root, "restore", out / "status.json", {
            "seconds": round(time.monotonic() - self.started, 3),
            "ms_per_megapixel": None if rate is None else round(rate, 1)})


def _restored(method: Method, model: Model, samples: shards.Shard, case: str, spec: dict[str, Any],
              entry: dict[str, Any], costs: _Costs, facts: dict[str, Any], progress: Progress | None,
              total: int) -> Iterator[shards.Record]:
    for record in samples:
        seed = derive(spec["seed"], "restore", record.id, case)
        try:
            if facts["multiply_adds"] is None:  # the first picture also warms up, so only later ones are timed
                facts["multiply_adds"] = _multiply_adds(method, model, record.arrays, seed)
            started = time.monotonic()
            output = restore(method, model, record.arrays, seed)
        except Exception as error:  # one picture must not take the others with it
            entry["failed"][record.id] = " ".join(f"{type(error).__name__}: {error}".split())
            if scarce(error):
                facts["transient"] = True  # the next rebuild restores once more
            continue
        height, width = next(iter(output.values())).shape[:2]
        costs.seconds += time.monotonic() - started
        costs.megapixels += height * width / 1e6
        costs.pictures += 1
        if progress:
            progress(case, costs.pictures, total)
        yield shards.Record(record.id, output, record.facts)


def _multiply_adds(method: Method, model: Model, inputs: Arrays, seed: int) -> int:
    """The multiply-adds for each megapixel of output, counted on one picture."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        output = restore(method, model, inputs, seed)
    height, width = next(iter(output.values())).shape[:2]
    return round(counter.get_total_flops() / 2 / (height * width) * 1e6)
