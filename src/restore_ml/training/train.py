"""Trains (or fits) one run and writes its model folder: the library side of the stage `train`."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore_ml import registry
from restore_ml.base import costs, layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import canonical_json, scarce, sha256_of_file, write_json, write_text, write_whole
from restore_ml.method import Method
from restore_ml.tasks.base import Material

if TYPE_CHECKING:
    from torch import Tensor

    from restore_ml.training.loop import Job

DONE = "done"
"""The marker in a training's checkpoint folder once it has ended: nothing is going on there."""
Progress = Callable[[str, int, int, float], None]


def train_run(spec: dict[str, Any], root: Path, out: Path, *, progress: Progress | None = None, fresh: bool = False,
              checkpoint_seconds: float = 60.0, workers: int = 0) -> dict[str, Any]:
    """Train the run that `spec` (the content of code/train/<task>/<run>.json) describes; returns what model.json says.

    A divergence, or a lack of memory or disk, is written down as the status `failed` or `transient` with its reason
    and is no exception. `fresh` forgets an unfinished training of the same fingerprint instead of continuing it.

    With `processes` above 1 in the spec it is called in that many processes (`accelerate launch`); the main one writes.

    Raises:
        UserError: it runs in another number of processes than the spec says.
        restore_ml.training.processes.PeerLost: another process of the training ended before its time.
    """
    _check_processes(spec)
    method = registry.method(spec["task"], spec["method"], spec["settings"])
    material = Material(root / layout.material(spec["task"]))
    _check_patch(spec, material)
    record = _record(spec, method, fingerprint(spec, material, root))
    folder, main = root / layout.CHECKPOINTS / record["fingerprint"], os.environ.get("RANK", "0") == "0"
    if main:
        _begin(folder, fresh)
    started, played = time.monotonic(), 0
    try:
        job = _job(method, spec, root, material, folder) if method.trains else None
        method.constants = method.prepare(material, spec["seed"])
        if job is not None:
            job.workers, job.checkpoint_seconds = workers, checkpoint_seconds
            job.progress = progress if main else None
            trained, played = _train(job, material, out if main else None)
            record |= trained
        else:
            record["parameters_total"] = sum(int(value.size) for value in method.constants.values())
        if main:
            record |= _write_arrays(out, method.constants)
    except Exception as error:
        status = _status(error)
        if status is None:
            raise
        record |= {"status": status, "reason": " ".join(str(error).split()) or type(error).__name__}
    if main or record["status"] == "transient":  # a lack of memory may be this process's alone
        _end(record, root, out, folder, {"seconds": round(time.monotonic() - started, 3), "steps": played})
    return record


def _check_processes(spec: dict[str, Any]) -> None:
    stated, started = spec.get("processes", 1), int(os.environ.get("WORLD_SIZE", "1"))
    if started != stated:
        raise UserError(f"The training of {spec['run']} is one of {stated} processes and was started in {started}; "
                        "`dvc repro` starts it rightly.")


def _record(spec: dict[str, Any], method: Method, fingerprint: str) -> dict[str, Any]:
    """What model.json says before anything is learned."""
    copied = ("run", "task", "method", "settings", "seed", "precision", "threads")
    return {**{key: spec[key] for key in copied}, "processes": spec.get("processes", 1),
            "slots": spec.get("slots", {}), "fingerprint": fingerprint,
            "reading": method.reading, "status": "ok", "reason": "", "steps": 0, "parameters": {},
            "parameters_total": 0, "training_ops": 0, "weights_sha256": ""}


def _begin(folder: Path, fresh: bool) -> None:
    """The checkpoint folder of a training that is going on; `fresh` forgets what it held."""
    (folder / DONE).unlink(missing_ok=True)
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)


def _end(record: dict[str, Any], root: Path, out: Path, folder: Path, cost: dict[str, Any]) -> None:
    """Write model.json and what it cost; what another try may mend is not marked as ended."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "model.json", record)
    if folder.is_dir() and record["status"] != "transient":
        write_text(folder / DONE, "")
    costs.write(root, "train", out / "model.json", cost)


def _check_patch(spec: dict[str, Any], material: Material) -> None:
    """`UserError` for crops larger than every picture: they would be padding for the most part, and take gigabytes."""
    patch, largest = spec["settings"].get("patch"), 0
    if not isinstance(patch, int):
        return
    records = material.records
    for index in range(len(records)):
        sides = [max(array.shape[:2]) for array in records.arrays(index).values() if array.ndim == 3]
        largest = max([largest, *sides])
        if largest >= patch:
            return
    if largest:
        raise UserError(f"The setting `patch` of the run {spec['run']} is {patch} pixels, and no training picture of "
                        f"{spec['task']} has a side longer than {largest}; lower `patch` in params.yaml.")


def fingerprint(spec: dict[str, Any], material: Material, root: Path) -> str:
    """What a training is: code, resolved settings, threads, precision and versions (all in `spec`) and its data.

    Files above 64 MB count by size and their two ends, so that a start stays quick however many pictures there are.
    """
    digest = hashlib.sha256(canonical_json(spec).encode())
    for run in spec.get("slots", {}).values():
        filled = root / layout.slot(run) / "model.json"
        if filled.exists():
            digest.update(filled.read_bytes())
    for path in sorted(material.folder.rglob("*.arrow")):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(material.folder)} {size}".encode())
        if size <= 64 << 20:
            digest.update(sha256_of_file(path).encode())
        else:
            with open(path, "rb") as file:
                digest.update(file.read(1 << 20))
                file.seek(-(1 << 20), 2)
                digest.update(file.read())
    return digest.hexdigest()[:32]


def _job(method: Method, spec: dict[str, Any], root: Path, material: Material, folder: Path) -> Job:
    """What the loop needs, and torch set up as the spec says."""
    import torch
    from accelerate import PartialState

    from restore_ml.training.loop import Job
    from restore_ml.training.sampler import Sampler
    from restore_ml.training.slots import load_slots

    torch.set_num_threads(spec["threads"])
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # NaN into each output
    process = PartialState(cpu=not torch.cuda.is_available())
    slots = load_slots(root, spec.get("slots", {}), spec.get("weights", {}))
    for filled in slots.values():
        for network in filled[1].networks.values() if isinstance(filled, tuple) else [filled]:
            network.to(process.device)
    sampler = Sampler(registry.parts(spec["task"]), material, method.settings, spec["seed"], method=method,
                      rank=process.process_index, world=process.num_processes)
    if process.is_main_process:
        write_json(folder / "run.json", {"run": spec["run"], "task": spec["task"]})  # names the live curves
    return Job(method, spec["run"], spec["seed"], sampler, folder, spec["precision"], slots)


def _train(job: Job, material: Material, out: Path | None) -> tuple[dict[str, Any], int]:
    """Train, and write weights and history into `out` (None: another process does).

    Returns what model.json says of it, and how many steps this process played.
    """
    from restore_ml.training.loop import fit_networks

    method, training = job.method, fit_networks(job)
    played = training.done - training.began
    if out is None:
        return {}, played
    networks = training.average.networks
    for network in networks.values():
        network.eval()
    method.finish(networks, material, job.seed)
    weights_sha256 = _write_weights(out, method.store(networks))
    training.history.flush()
    shutil.copyfile(training.history.path, out / "history.csv")
    parameters = {name: sum(p.numel() for p in network.parameters()) for name, network in training.networks.items()}
    turns = {f"{phase.name}.{player.name}": -(-phase.steps // player.every)
             for phase in method.phases() for player in phase.players}
    return {"steps": training.done, "parameters": parameters,
            "parameters_total": sum(parameters[name] for name in method.stored_networks),
            "training_ops": sum(training.operations.get(key, 0) * count for key, count in turns.items()),
            "weights_sha256": weights_sha256}, played


def _write_weights(out: Path, state: dict[str, Tensor]) -> str:
    """Write weights.safetensors; returns its SHA-256."""
    from safetensors.torch import save_file

    from restore_ml.training.checkpoint import not_finite

    weights = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    broken = not_finite(weights)
    if broken:
        raise UserError(f"The weight {broken} is not finite after training; the method's last calibration made it so.")
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "weights.safetensors", lambda temporary: save_file(weights, temporary))
    return sha256_of_file(out / "weights.safetensors")


def _write_arrays(out: Path, arrays: dict[str, Any]) -> dict[str, Any]:
    if not arrays:
        return {}
    import numpy as np
    from safetensors.numpy import save_file

    ready = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    for name, value in ready.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise UserError(f"The fitted array {name!r} is not finite; look for broken pictures in the training set.")
    write_whole(out / "arrays.safetensors", lambda temporary: save_file(ready, str(temporary)))
    return {"arrays_sha256": sha256_of_file(out / "arrays.safetensors")}


def _status(error: Exception) -> str | None:
    """`failed` for an outcome that would come again, `transient` for a lack of memory or disk, None for a bug."""
    if type(error).__name__ == "Diverged" or isinstance(error, UserError):
        return "failed"
    return "transient" if scarce(error) else None
