"""A tiny project with real samples, models, restored pictures and scores: what a rebuild leaves, in seconds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.files import sha256_of_file, write_json, write_text
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.evaluation.comparison import about_run, compare, read_about
from restore_ml.evaluation.scoring import score
from restore_ml.restoring.stage import restore_run
from restore_ml.seeds import generator
from tests.graphs import write_runs, write_task_scores

TASK = "super_resolution"
PARAMS = """\
profile: quick
seed: 1
threads: 1
precision: fp32
"""
RUNS: dict[str, Any] = {
    "bicubic": {}, "vdsr": {"settings": {"layers": 3, "width": 4}},
    "broken": {"method": "vdsr", "settings": {"layers": 3, "width": 4}}}


def picture(number: int, side: int = 48) -> np.ndarray:
    """A smooth coloured picture with some texture."""
    rng = generator("small project", number)
    rows, columns = np.mgrid[:side, :side] / side
    waves = [127 + 100 * np.sin(6 * (rows * rng.random() + columns * rng.random()) + number) for _ in range(3)]
    noisy = np.stack(waves, 2) + rng.normal(0, 6, (side, side, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def build(root: Path, pictures: int = 3) -> Path:
    """Lay out samples, three runs (one of them failed), scores and a comparison under `root`."""
    settings_of(root)
    task = registry.task(TASK)
    inputs, targets = [], []
    for number in range(pictures):
        facts = {"name": f"picture {number}.png", "collection": "photos", "group": str(number), "synthetic": False}
        record = Record(f"{number:064x}", {"image": picture(number)}, facts)
        sample = registry.parts(task.name).cases.sample(record, "x2", 1, {"scales": [2], "variants": []})
        inputs.append(Record(record.id, sample.inputs, {**facts, **sample.facts}))
        targets.append(Record(record.id, sample.target, {**facts, **sample.facts}))
    shards.write(root / f"samples/{TASK}/inputs/photos/x2.arrow", inputs)
    shards.write(root / f"samples/{TASK}/targets/photos/x2.arrow", targets)
    add_run(root, "bicubic", "bicubic", {})
    add_run(root, "vdsr", "vdsr", {"layers": 3, "width": 4})
    add_run(root, "broken", "vdsr", {"layers": 3, "width": 4}, failed="diverged at step 7: the term mse is NaN")
    write_lock(root)
    rescore(root)
    return root


def settings_of(root: Path) -> None:
    """Write params.yaml and the runs of the task."""
    write_text(root / "params.yaml", PARAMS)
    write_runs(root, TASK, RUNS, samples={"settings": {"scales": [2], "variants": []}})


def add_run(root: Path, run: str, method: str, settings: dict[str, Any], seed: int = 1, failed: str = "") -> None:
    """Write models/super_resolution/<run> (an untrained network of that seed) and restored/super_resolution/<run>."""
    built = registry.method_class(TASK, method)(settings)
    folder = root / layout.model(TASK, run)
    shutil.rmtree(folder, ignore_errors=True)
    facts = {"run": run, "task": TASK, "method": method, "settings": built.settings, "seed": seed, "slots": {},
             "precision": "fp32", "threads": 1, "fingerprint": f"{run}{seed}", "reading": "", "status": "ok",
             "reason": "", "steps": 0, "parameters": {}, "parameters_total": 0, "training_ops": 0,
             "weights_sha256": ""}
    folder.mkdir(parents=True)
    if failed:
        facts |= {"status": "failed", "reason": failed}
    elif built.trains:
        torch.manual_seed(seed)
        weights = {f"{name}.{key}": value.contiguous() for name, network in built.build().items()
                   for key, value in network.state_dict().items()}
        save_file(weights, folder / "weights.safetensors")
        write_text(folder / "history.csv", "phase,step,term,value\n"
                   + "".join(f"train,{step},net.mse,{1 / (step + 1):.6g}\n" for step in range(5)))
        facts |= {"steps": 5, "parameters_total": sum(value.numel() for value in weights.values()),
                  "weights_sha256": sha256_of_file(folder / "weights.safetensors")}
    write_json(folder / "model.json", facts)
    spec = {"run": run, "task": TASK, "method": method, "settings": built.settings, "seed": seed, "threads": 1}
    write_json(root / layout.code("train", TASK, run), {**spec, "slots": {}, "precision": "fp32"})
    shutil.rmtree(root / layout.restored(TASK, run), ignore_errors=True)
    restore_run(spec, root, root / layout.restored(TASK, run))


def write_lock(root: Path) -> None:
    """The dvc.lock of the task with an entry for the models that there are."""
    lines = ["schema: '2.0'", "stages:", "  prepare:", "    cmd: x", "    deps:", "    - path: data",
             "      md5: 0123456789abcdef0123456789abcdef.dir"]
    for path in sorted((root / layout.models(TASK)).glob("*/model.json")):
        lines += [f"  train@{path.parent.name}:", "    cmd: x", "    outs:",
                  f"    - path: models/{TASK}/{path.parent.name}",
                  f"      md5: {sha256_of_file(path)[:32]}.dir"]
    write_text(root / layout.lock_file(TASK), "\n".join(lines) + "\n")


def rescore(root: Path) -> None:
    """Write scores/super_resolution/*.parquet and .json, and a comparison of what is restored now."""
    names = sorted(path.parent.name for path in (root / layout.restored(TASK)).glob("*/status.json"))
    rows = score(TASK, root / layout.samples(TASK), root / layout.restored(TASK),
                 [{"run": name, "seed": 1} for name in names])
    write_task_scores(root, TASK, rows)
    for name in names:
        write_json(root / layout.about(TASK, name), about_run(root / layout.model(TASK, name)))
    compare(TASK, rows, read_about(root, TASK, names), root / layout.comparison(TASK))
