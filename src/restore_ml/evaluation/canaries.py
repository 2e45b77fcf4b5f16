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
from restore_ml.data import domains
from restore_ml.data.shards import Record
from restore_ml.seeds import generator
from restore_ml.tasks.base import Sample

Arrays = dict[str, np.ndarray]
SIDE = 64
ODD = (67, 43)
"""Height and width of the odd picture."""
SEED = 3
SETTINGS: dict[str, dict[str, Any]] = {"inpainting": {"size": 0}, "colorization": {"size": 0}}
"""Task settings under which whole pictures are degraded."""
OUTPUT = {"super_resolution": "sr", "inpainting": "image", "colorization": "ab", "cloud_removal": "image"}
TRUTH = {"super_resolution": "hr", "inpainting": "image", "colorization": "ab", "cloud_removal": "truth"}
RANGE = {"super_resolution": (0.0, 255.0), "inpainting": (0.0, 255.0), "colorization": (-128.0, 128.0),
         "cloud_removal": (-0.5, 1.5)}
"""What the output's values may be (grey levels, ab, reflectance with room for noise)."""
SHIFT = {"super_resolution": 8.0, "inpainting": 64.0, "colorization": 40.0, "cloud_removal": 0.2}
"""How far the mean over the restored pixels may lie from the truth's, a channel."""
FLOOR = {"super_resolution": 6.0, "inpainting": 32.0, "colorization": 35.0, "cloud_removal": 0.05}
"""Root mean square errors below this are sane whatever the trivial restoration reaches.

reading: bounds of ours, wide enough for every sound method here on pictures that it was never trained for."""
CONSTANT = 0.02
"""An output whose standard deviation is below this share of the truth's has lost the picture."""


def pictures() -> dict[str, np.ndarray]:
    """The canary pictures by name, H x W x 3 uint8."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    made = {"flat": np.full((SIDE, SIDE, 3), 128, np.uint8),
            "gradient": np.stack([4 * columns, 4 * rows, 255 - 2 * (rows + columns)], 2).astype(np.uint8)}
    made["strokes"] = _strokes()
    chart = np.array([[230, 30, 30], [30, 200, 40], [30, 50, 220], [240, 220, 30], [220, 40, 210], [40, 210, 220],
                      [245, 245, 245], [15, 15, 15]], np.uint8)
    made["chart"] = chart[(rows // 16) % 2 * 4 + columns // 16]
    lines = np.full((SIDE, SIDE, 3), 40, np.uint8)
    lines[::8] = 220
    lines[:, 5::8] = 220
    made["lines"] = lines
    i, j = np.mgrid[:ODD[0], :ODD[1]]
    waves = [128 + 90 * np.sin(i / (5 + channel)) * np.cos(j / (7 - channel)) for channel in range(3)]
    made["odd size"] = np.rint(np.stack(waves, 2)).astype(np.uint8)
    return made


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
    """The canary pictures degraded as the task does (`degradation` as in its primary case), by name."""
    settings = SETTINGS.get(task, {})
    made = {}
    for name, picture in pictures().items():
        arrays = domains.get(registry.task(task).domain).from_rgb(picture)
        record = Record(f"canary {name}", arrays, {"name": name})
        made[name] = registry.task(task).test_sample(record, degradation, SEED, settings)
    return made


def inspect(task: str, degradation: str, restore: Callable[[Arrays, str], Arrays], tolerance: float) -> dict[str, Any]:
    """Restore every canary and say of each whether that is sane.

    `restore(inputs, name)` gives the task's output arrays; `tolerance`: dB by which the error over the restored pixels
    may exceed the trivial restoration's (bicubic, the mean of the known pixels, no colour). Returns {"sane",
    "sentence", "pictures": [{"name", "sane", "reason", "rmse", "trivial_rmse", "shift"}]}, in the task's units. A task
    that is not in `OUTPUT` has no canaries: nothing is asked of it.
    """
    from restore_ml.evaluation.scoring import check  # here: a model is checked on these pictures without any scoring

    if task not in OUTPUT:
        return {"sane": True, "sentence": f"{task} has no canary pictures", "pictures": []}
    found = []
    for name, sample in samples(task, degradation).items():
        facts: dict[str, Any] = {"name": name, "rmse": None, "trivial_rmse": None, "shift": None}
        try:
            output = restore(sample.inputs, name)
            check(task, output, sample.target)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
        else:
            reason = _judge(task, sample, output, tolerance, facts)
        found.append({**facts, "sane": not reason, "reason": reason})
    bad = [entry for entry in found if not entry["sane"]]
    sentence = "" if not bad else ("does not restore the canary pictures sanely: "
                                   + "; ".join(f"{entry['name']}, {entry['reason']}" for entry in bad))
    return {"sane": not bad, "sentence": sentence, "pictures": found}


def _judge(task: str, sample: Sample, output: Arrays, tolerance: float, facts: dict[str, Any]) -> str:
    """What is insane in one restored canary, or an empty text; fills `facts` with the figures."""
    value, truth = (array.astype(np.float64) for array in (output[OUTPUT[task]], sample.target[TRUTH[task]]))
    hole = np.ones(truth.shape[:2], bool)
    if "mask" in sample.inputs:
        hole = sample.inputs["mask"][..., 0] > 0
        seen = sample.inputs["image" if "image" in sample.inputs else "target"]
        if not np.array_equal(output[OUTPUT[task]][~hole], seen[~hole]):
            return "known pixels were changed"
        if not hole.any():
            return ""
    error, trivial = (_rmse(one[hole], truth[hole]) for one in (value, _trivial(task, sample, truth, hole)))
    shift = float(np.abs(value[hole].mean(0) - truth[hole].mean(0)).max())
    facts |= {"rmse": round(error, 4), "trivial_rmse": round(trivial, 4), "shift": round(shift, 4)}
    low, high = RANGE[task]
    spread, true_spread = (array.std(axis=(0, 1)).max() for array in (value, truth))
    findings = {
        f"values from {value.min():.3g} to {value.max():.3g}, outside {low:g} to {high:g}":
            value.min() < low or value.max() > high,
        f"its mean lies {shift:.3g} from the truth's, more than {SHIFT[task]:g}": shift > SHIFT[task],
        "a constant where the picture is none":  # no colour is a constant, and guards look at that
            task != "colorization" and spread < CONSTANT * true_spread,
        f"an error of {error:.3g}, more than {tolerance:g} dB above the trivial restoration's {trivial:.3g}":
            error > max(trivial * 10 ** (tolerance / 20), FLOOR[task])}
    return next((text for text, found in findings.items() if found), "")


def _rmse(value: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean((value - truth) ** 2)))


def _trivial(task: str, sample: Sample, truth: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The restoration that anybody gets for nothing: bicubic, no colour, or the mean of the known pixels."""
    if task == "super_resolution":
        from restore_ml.degradations.resize import imresize

        return imresize(sample.inputs["lr"], output_size=truth.shape[:2]).astype(np.float64)
    if task == "colorization":
        return np.zeros_like(truth)
    return np.broadcast_to(truth[~hole].mean(0) if (~hole).any() else truth.mean((0, 1)), truth.shape)
