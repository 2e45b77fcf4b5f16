"""What a challenger is asked beyond its scores: the canary pictures, and how long a megapixel takes it."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from restore_ml import registry
from restore_ml.base import costs, layout
from restore_ml.base.files import read_json
from restore_ml.data import domains
from restore_ml.data.shards import Record
from restore_ml.promotion import canaries
from restore_ml.promotion.rule import Rule
from restore_ml.seeds import derive
from restore_ml.tasks.protocol import protocol

SIDE = 256
"""Of the picture on which latency is measured, pixels of the truth."""
TIMES, LONG = 3, 20.0
"""How often it is restored after a first time to warm up; once is enough from so many seconds on."""


def probe(root: Path, task: str, run: str, case: str, rule: Rule, measured: dict[str, Any] | None) -> dict[str, Any]:
    """Canaries (deterministic) and latency of models/<task>/<run>; `measured`: the latency known from before, reread
    as it is. A model that cannot be loaded is a `UserError`."""
    import torch

    from restore_ml.restoring.harness import restore
    from restore_ml.serving.restore_command import load

    folder = root / layout.model(task, run)
    description = read_json(folder / "model.json")
    threads = int(description.get("threads") or 1)
    torch.set_num_threads(threads)
    method, model = load(folder, root)
    degradation = case.split("/")[1]
    checked = None
    if rule.canaries:
        checked = canaries.inspect(task, degradation, lambda inputs, name: restore(
            method, model, inputs, derive(description["seed"], "canary", name)), rule.canary_tolerance)
    if measured is None:
        inputs = sample(task, degradation)
        seconds: list[float] = []
        for _ in range(TIMES + 1):
            started = time.monotonic()
            restore(method, model, inputs, 1)
            seconds.append(time.monotonic() - started)
            if seconds[-1] > LONG:
                break
        timed = statistics.median(seconds[1:] or seconds)
        measured = {"ms_per_megapixel": round(1000 * timed / (SIDE * SIDE / 1e6), 1), "machine": costs.machine(),
                    "threads": threads, "picture": f"{SIDE} x {SIDE}, {degradation}", "times": len(seconds[1:]) or 1}
    return {"canaries": checked, "latency": measured}


def sample(task: str, degradation: str) -> dict[str, np.ndarray]:
    """The inputs of one fixed synthetic picture of `SIDE` pixels, degraded as in the primary case."""
    i, j = np.mgrid[:SIDE, :SIDE]
    waves = [128 + 90 * np.sin(i / (9 + channel)) * np.cos(j / (13 - channel)) for channel in range(3)]
    picture = np.rint(np.stack(waves, 2)).astype(np.uint8)
    record = Record("latency", domains.get(registry.task(task).domain).from_rgb(picture), {"name": "latency"})
    cases, canary = registry.parts(task).cases, protocol(task).canary()
    assert cases is not None
    settings = dict(canary.settings) if canary else {}
    return cases.sample(record, degradation, canaries.SEED, settings).inputs
