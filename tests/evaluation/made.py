"""Small samples and restored outputs on disk, and synthetic score rows, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas

from restore_ml.base.files import write_json
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.evaluation.comparison import about_run
from restore_ml.tasks.protocol import protocol

CASES = ("photos/x2", "photos/x3")
PICTURES = 4


def truth(number: int, scale: int) -> np.ndarray:
    """A smooth 8-bit picture whose sides are multiples of the scale."""
    i, j = np.mgrid[: 24 * scale, : 20 * scale]
    planes = [127 + 100 * np.sin(i / (5 + number) + channel) * np.cos(j / 7) for channel in range(3)]
    return np.stack(planes, -1).astype(np.uint8)


def samples(root: Path) -> Path:
    """samples/super_resolution with two cases of four pictures, two tiles of each of two photographs."""
    folder = root / "samples" / "super_resolution"
    for case in CASES:
        scale = int(case[-1])
        inputs, targets = [], []
        for number in range(PICTURES):
            hr = truth(number, scale)
            facts = {"name": f"tile{number}", "group": f"photo{number // 2}", "collection": "c", "synthetic": False}
            name = f"{number:064d}"
            inputs.append(Record(name, {"lr": hr[::scale, ::scale].copy(), "scale": np.array(scale, np.int32)}, facts))
            targets.append(Record(name, {"hr": hr}, facts))
        shards.write(folder / "inputs" / f"{case}.arrow", inputs)
        shards.write(folder / "targets" / f"{case}.arrow", targets)
    return folder


def restored(root: Path, run: str, error: int, cases: dict[str, dict[str, Any]] | None = None,
             **status: Any) -> Path:
    """restored/super_resolution/<run>: the truth with `error` grey levels added; statuses of cases may be given."""
    folder = root / "restored" / "super_resolution"
    said: dict[str, dict[str, Any]] = {case: {"status": "ok", "reason": "", "failed": {}} for case in CASES}
    said |= cases or {}
    for case, entry in said.items():
        if entry["status"] == "ok":
            done = [number for number in range(PICTURES) if f"{number:064d}" not in entry["failed"]]
            shards.write(folder / run / f"{case}.arrow", [Record(f"{number:064d}", {
                "sr": (truth(number, int(case[-1])) + error).astype(np.uint8)}) for number in reversed(done)])
    write_json(folder / run / "status.json", {"run": run, "status": "ok", "reason": "", "cases": said, **status})
    return folder


def model(models: Path, run: str, **facts: Any) -> None:
    """<run>/model.json in a task's folder of models."""
    write_json(models / run / "model.json", {
        "run": run, "task": "super_resolution", "method": run, "status": "ok", "reason": "", "parameters_total": 0,
        "training_ops": 0, "reading": "", "weights_sha256": f"sha-{run}", **facts})


def about(models: Path) -> dict[str, dict[str, Any]]:
    """What a table says of each run that has a model."""
    return {path.parent.name: about_run(path.parent) for path in models.glob("*/model.json")}


def rows(task: str, runs: dict[str, dict[str, Any]], pictures: int = 12, groups: int = 6, case: str | None = None,
         synthetic: bool = False) -> pandas.DataFrame:
    """Score rows: `runs` maps a run to metric -> value (one, or one a picture), `status`, `reason`; others are 0.5."""
    rules = protocol(task)
    case = case or f"{rules.primary_set}/{rules.primary_degradation}"
    made = []
    for run, given in runs.items():
        for number in range(pictures):
            status = given.get("status", "ok")
            status = status if isinstance(status, str) else status[number]
            values = {}
            for metric in rules.metrics:
                value = np.broadcast_to(given.get(metric.name, 0.5), pictures)[number]
                values[metric.name] = float(value) if status == "ok" else float("nan")
            test_set, degradation = case.split("/")
            made.append({"task": task, "run": run, "case": case, "test_set": test_set, "degradation": degradation,
                         "picture": f"{number:064d}", "name": f"tile{number}", "group": f"photo{number % groups}",
                         "synthetic": synthetic, "seed": 1, "status": status,
                         "reason": "" if status == "ok" else given.get("reason", "diverged"), **values})
    return pandas.DataFrame(made)
