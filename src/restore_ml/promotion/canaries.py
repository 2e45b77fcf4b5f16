"""Canary pictures: a few small pictures made in code that no champion may restore insanely, whatever its mean says.

Flat grey, a gradient, strokes like writing, a chart of saturated colours, structures one pixel wide, and a picture of
an odd size. They are degraded as the task degrades its test pictures, so the truth is known. Everything comes from
seeds derived from the picture's name; nothing is read but the model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from restore_ml import registry
from restore_ml.arrays import Arrays
from restore_ml.data import domains
from restore_ml.data.shards import Record
from restore_ml.kinds import MASK
from restore_ml.seeds import generator
from restore_ml.tasks.base import Sample
from restore_ml.tasks.optional_inputs import add_optional
from restore_ml.tasks.protocol import Canary, protocol

SIDE = 64
ODD = (67, 43)
"""Height and width of the odd picture."""
SEED = 3
CONSTANT = 0.02
"""An output whose standard deviation is below this share of the truth's has lost the picture."""


def pictures() -> dict[str, np.ndarray]:
    """The canary pictures by name, H x W x 3 uint8."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    drawn = {"flat": np.full((SIDE, SIDE, 3), 128, np.uint8),
            "gradient": np.stack([4 * columns, 4 * rows, 255 - 2 * (rows + columns)], 2).astype(np.uint8)}
    drawn["strokes"] = _strokes()
    chart = np.array([[230, 30, 30], [30, 200, 40], [30, 50, 220], [240, 220, 30], [220, 40, 210], [40, 210, 220],
                      [245, 245, 245], [15, 15, 15]], np.uint8)
    drawn["chart"] = chart[(rows // 16) % 2 * 4 + columns // 16]
    lines = np.full((SIDE, SIDE, 3), 40, np.uint8)
    lines[::8] = 220
    lines[:, 5::8] = 220
    drawn["lines"] = lines
    i, j = np.mgrid[:ODD[0], :ODD[1]]
    waves = [128 + 90 * np.sin(i / (5 + channel)) * np.cos(j / (7 - channel)) for channel in range(3)]
    drawn["odd size"] = np.rint(np.stack(waves, 2)).astype(np.uint8)
    return drawn


def _strokes() -> np.ndarray:
    """Dark slanted and level strokes on paper, in rows like writing."""
    rng = generator(SEED, "canary", "strokes")
    picture = np.full((SIDE, SIDE, 3), (238, 232, 220), np.uint8)
    for top in range(6, SIDE - 10, 14):
        left = 4
        while left < SIDE - 10:
            height, lean = int(rng.integers(5, 9)), int(rng.integers(-2, 3))
            for step in range(height):
                x = left + 2 + round(lean * step / height)
                picture[top + step, x:x + 2] = (30, 32, 48)
            if rng.random() < 0.6:
                picture[top + height // 2, left:left + 6] = (30, 32, 48)
            left += int(rng.integers(6, 10))
    return picture


def samples(task: str, degradation: str) -> dict[str, Sample]:
    """The canary pictures degraded as the task does (`degradation` as in its primary case), by name, with its optional
    inputs: a champion that needs a palette gets one."""
    parts, canary = registry.parts(task), protocol(task).canary()
    if canary is None or parts.cases is None:
        return {}
    domain = domains.get(parts.task.domain)
    records = {name: domain.from_rgb(picture) for name, picture in pictures().items()}
    made = {}
    for name, arrays in records.items():
        record = Record(f"canary {name}", arrays, {"name": name})
        made[name] = parts.cases.sample(record, degradation, SEED, dict(canary.settings))
        add_optional(parts.optional, made[name], degradation, SEED, record.id)
    return made


def inspect(task: str, degradation: str, restore: Callable[[Arrays, str], Arrays], tolerance: float) -> dict[str, Any]:
    """Restore every canary and say of each whether that is sane.

    `restore(inputs, name)` gives the task's output arrays; `tolerance`: dB by which the error over the restored pixels
    may exceed the trivial restoration's (bicubic, the mean of the known pixels, no colour). Returns {"sane",
    "sentence", "pictures": [{"name", "sane", "reason", "rmse", "trivial_rmse", "shift"}]}, in the task's units. A task
    whose protocol gives no `Canary` is not asked anything.
    """
    from restore_ml.evaluation.scoring import check  # here: a model is checked on these pictures without any scoring

    canary = protocol(task).canary()
    if canary is None:
        return {"sane": True, "sentence": f"{task} has no canary pictures", "pictures": []}
    reports = []
    for name, sample in samples(task, degradation).items():
        report: dict[str, Any] = {"name": name, "rmse": None, "trivial_rmse": None, "shift": None}
        try:
            output = restore(sample.inputs, name)
            check(task, output, sample.inputs, sample.target)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
        else:
            reason = _judge(task, canary, sample, output, tolerance, report)
        reports.append({**report, "sane": not reason, "reason": reason})
    bad = [entry for entry in reports if not entry["sane"]]
    sentence = "" if not bad else ("does not restore the canary pictures sanely: "
                                   + "; ".join(f"{entry['name']}, {entry['reason']}" for entry in bad))
    return {"sane": not bad, "sentence": sentence, "pictures": reports}


def _judge(task: str, canary: Canary, sample: Sample, output: Arrays, tolerance: float,
           report: dict[str, Any]) -> str:
    """What is insane in one restored canary, or an empty text; fills `report` with the figures."""
    definition = registry.task(task)
    composed = definition.compose(sample.inputs, output)
    if any(not np.array_equal(composed[name], value) for name, value in output.items()):
        return "known pixels were changed"
    value, truth = (array.astype(np.float64) for array in (output[canary.output], sample.target[canary.truth]))
    masks = [sample.inputs[name] for name, spec in definition.inputs.items() if spec.kind is MASK]
    hole = masks[0][..., 0] > 0 if masks else np.ones(truth.shape[:-1], bool)  # of a clip: all frames
    if not hole.any():
        return ""
    trivial_output = protocol(task).trivial(sample).astype(np.float64)
    error, trivial = (_rmse(one[hole], truth[hole]) for one in (value, trivial_output))
    shift = float(np.abs(value[hole].mean(0) - truth[hole].mean(0)).max())
    report |= {"rmse": round(error, 4), "trivial_rmse": round(trivial, 4), "shift": round(shift, 4)}
    spread, true_spread = (array.std(axis=tuple(range(array.ndim - 1))).max() for array in (value, truth))
    findings = {
        f"values from {value.min():.3g} to {value.max():.3g}, outside {canary.low:g} to {canary.high:g}":
            value.min() < canary.low or value.max() > canary.high,
        f"its mean lies {shift:.3g} from the truth's, more than {canary.shift:g}": shift > canary.shift,
        "a constant where the picture is none": not canary.may_be_constant and spread < CONSTANT * true_spread,
        f"an error of {error:.3g}, more than {tolerance:g} dB above the trivial restoration's {trivial:.3g}":
            error > max(trivial * 10 ** (tolerance / 20), canary.floor)}
    return next((text for text, broken in findings.items() if broken), "")


def _rmse(value: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean((value - truth) ** 2)))
