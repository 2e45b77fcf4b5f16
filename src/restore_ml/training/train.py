"""Trains (or fits) one run and writes its model folder: the library side of the stage `train`."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from restore_ml import costs, layout, registry
from restore_ml.errors import UserError
from restore_ml.files import canonical_json, scarce, sha256_of_file, write_json, write_text
from restore_ml.method import Method
from restore_ml.tasks.base import Material

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
    main, world = os.environ.get("RANK", "0") == "0", int(os.environ.get("WORLD_SIZE", "1"))
    method = registry.method(spec["task"], spec["method"], spec["settings"])
    if world != spec.get("processes", 1):
        raise UserError(f"The training of {spec['run']} is one of {spec.get('processes', 1)} processes and was started "
                        f"in {world}; `dvc repro` starts it rightly.")
    material = Material(root / layout.material(spec["task"]))
    mark = fingerprint(spec, material, root)
    folder = root / layout.CHECKPOINTS / mark
    if main:
        (folder / DONE).unlink(missing_ok=True)
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
    facts = {key: spec[key] for key in ("run", "task", "method", "settings", "seed", "precision", "threads")}
    facts |= {"processes": spec.get("processes", 1), "slots": spec.get("slots", {})}
    facts |= {"fingerprint": mark, "reading": method.reading, "status": "ok", "reason": "", "steps": 0,
              "parameters": {}, "parameters_total": 0, "training_ops": 0, "weights_sha256": ""}
    started, played = time.monotonic(), 0
    try:
        if method.trains:
            trained, played = _train(method, spec, root, out, material, folder, progress, checkpoint_seconds, workers)
            facts |= trained
        else:
            arrays = method.fit(material, spec["seed"])
            facts |= _write_arrays(out, arrays)
            facts["parameters_total"] = sum(int(value.size) for value in arrays.values())
    except Exception as error:
        status = _status(error)
        if status is None:
            raise
        facts |= {"status": status, "reason": " ".join(str(error).split()) or type(error).__name__}
    if not main and facts["status"] != "transient":  # a lack of memory may be this process's alone
        return facts
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "model.json", facts)
    if folder.is_dir() and facts["status"] != "transient":
        write_text(folder / DONE, "")
    seconds = round(time.monotonic() - started, 3)
    costs.write(root, "train", out / "model.json", {"seconds": seconds, "steps": played})
    return facts


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


def _train(method: Method, spec: dict[str, Any], root: Path, out: Path, material: Material, folder: Path,
           progress: Progress | None, checkpoint_seconds: float, workers: int) -> tuple[dict[str, Any], int]:
    """What model.json says of the training, and how many steps this process played."""
    import torch
    from accelerate import PartialState
    from safetensors.torch import save_file

    from restore_ml.files import write_whole
    from restore_ml.training.checkpoint import not_finite
    from restore_ml.training.loop import Job, fit_networks
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
    sampler = Sampler(registry.task(spec["task"]), material, method.settings, spec["seed"],
                      rank=process.process_index, world=process.num_processes)
    method.constants = method.prepare(material, spec["seed"])
    if process.is_main_process:
        write_json(folder / "run.json", {"run": spec["run"], "task": spec["task"]})  # names the live curves
    job = Job(method, spec["run"], spec["seed"], sampler, folder, spec["precision"], slots, workers,
              checkpoint_seconds, progress if process.is_main_process else None)
    training = fit_networks(job)
    if not process.is_main_process:
        return {}, training.done - training.began
    networks = training.average.networks
    method.finish(networks, material, spec["seed"])
    facts = _write_arrays(out, method.constants)
    weights = {f"{name}.{key}": value.detach().cpu().contiguous().clone()
               for name, network in networks.items() for key, value in network.state_dict().items()}
    broken = not_finite(weights)
    if broken:
        raise UserError(f"The weight {broken} is not finite after training; the method's last calibration made it so.")
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "weights.safetensors", lambda temporary: save_file(weights, temporary))
    training.history.flush()
    shutil.copyfile(training.history.path, out / "history.csv")
    parameters = {name: sum(p.numel() for p in network.parameters()) for name, network in training.networks.items()}
    plays = {f"{phase.name}.{player.name}": -(-phase.steps // player.every)
             for phase in method.phases() for player in phase.players}
    facts |= {"steps": training.done, "parameters": parameters,
              "parameters_total": sum(parameters[name] for name in method.restores_with),
              "training_ops": sum(training.operations.get(key, 0) * count for key, count in plays.items()),
              "weights_sha256": sha256_of_file(out / "weights.safetensors")}
    return facts, training.done - training.began


def _write_arrays(out: Path, arrays: dict[str, Any]) -> dict[str, Any]:
    if not arrays:
        return {}
    import numpy as np
    from safetensors.numpy import save_file

    from restore_ml.files import write_whole

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
