"""Restoring all test cases with one run, and loading what a model folder holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from restore_ml import layout, registry
from restore_ml.arrays import Arrays
from restore_ml.costs import write as write_costs
from restore_ml.data import shards
from restore_ml.errors import UserError
from restore_ml.files import read_json, scarce, write_json
from restore_ml.method import Method, Model
from restore_ml.model_files import fit, read_arrays
from restore_ml.restoring.harness import restore
from restore_ml.seeds import derive

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
        costs.seconds += time.monotonic() - started
        costs.megapixels += _pixels(method, output, record.arrays) / 1e6
        costs.pictures += 1
        if progress:
            progress(case, costs.pictures, total)
        yield shards.Record(record.id, output, record.facts)


def _multiply_adds(method: Method, model: Model, inputs: Arrays, seed: int) -> int:
    """The multiply-adds for each megapixel of output, counted on one picture."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        output = restore(method, model, inputs, seed)
    return round(counter.get_total_flops() / 2 / _pixels(method, output, inputs) * 1e6)


def _pixels(method: Method, output: Arrays, inputs: Arrays) -> int:
    """How many pixels an output has; where it lies on no grid (a class), those of the input."""
    task = registry.task(method.task)
    sizes = [task.output[name].kind.size(value) for name, value in output.items()]
    sizes += [spec.kind.size(inputs[name]) for name, spec in task.inputs.items()]
    height, width = next(size for size in sizes if size is not None)
    return height * width
