"""A project with test samples of one case, and tools of others that write what they are told to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.files import write_text
from restore_ml.data import shards
from restore_ml.data.file_kinds import BOXES, CLASSES, CLIP, LABELS, VOLUME, Boxes, Form
from restore_ml.data.file_kinds.bands import BANDS
from restore_ml.data.nifti import Volume
from restore_ml.data.shards import Record, Shard
from restore_ml.registry import method_names
from restore_ml.seeds import generator
from restore_ml.tasks.protocol import protocol
from restore_ml.tasks.sample_files import Wanted
from tests.graphs import write_runs
from tests.tracking.small_project import PARAMS
from tests.walk.material import sample

TASK, CASE = "super_resolution", "x2"
WHERE = ("--task", TASK, "--set", "photos", "--case", CASE)
Add = Callable[..., tuple[int, str]]
"""The fixture `add`."""


def build(root: Path, task: str = TASK, degradation: str = CASE, count: int = 3, size: tuple[int, int] = (72, 64),
          names: Callable[[int], str] = lambda number: f"picture_{number:03d}", test_set: str = "photos") -> Path:
    """A project with `count` samples of a case."""
    write_text(root / layout.PARAMS, PARAMS)
    runs: dict[str, dict[str, Any]] = {(*protocol(task).baselines, *method_names(task))[0]: {}}
    if not (root / layout.runs_file(task)).exists():
        write_runs(root, task, runs)
    made = [(f"{number:064x}", sample(task, degradation, number, size),
             {"name": names(number), "group": str(number), "synthetic": False}) for number in range(1, count + 1)]
    folder = root / layout.samples(task)
    shards.write(folder / f"inputs/{test_set}/{degradation}.arrow",
                 [Record(identity, one.inputs, facts) for identity, one, facts in made])
    shards.write(folder / f"targets/{test_set}/{degradation}.arrow",
                 [Record(identity, one.target, facts) for identity, one, facts in made])
    return root


def kept(root: Path) -> Path:
    """Where the outputs of the run `theirs` are kept."""
    return root / f"brought/outputs/{TASK}/theirs/photos/{CASE}"


def truths(root: Path, task: str = TASK, case: str = f"photos/{CASE}") -> list[dict[str, np.ndarray]]:
    """The targets of a case."""
    return [record.arrays for record in Shard(root / layout.samples(task) / f"targets/{case}.arrow")]


def inputs(root: Path, task: str = TASK, case: str = f"photos/{CASE}") -> list[dict[str, np.ndarray]]:
    """Its inputs."""
    return [record.arrays for record in Shard(root / layout.samples(task) / f"inputs/{case}.arrow")]


def change_inputs(root: Path) -> None:
    """Another seed, another input: one pixel of the second sample."""
    path = root / "samples/super_resolution/inputs/photos/x2.arrow"
    records = [Record(one.id, {name: np.array(value) for name, value in one.arrays.items()}, one.facts)
               for one in Shard(path)]
    records[1].arrays["lr"][3, 4, 0] ^= 1
    shards.write(path, records)


def save(path: Path, value: np.ndarray, **options: Any) -> None:
    """A picture, H x W x C uint8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(value[..., 0] if value.ndim == 3 and value.shape[2] == 1 else value).save(path, **options)


def poor(truth: np.ndarray, seed: int = 1, error: float = 12.0) -> np.ndarray:
    """A picture that is the truth's with an error."""
    noise = generator("poor", seed).normal(0, error, truth.shape)
    return np.clip(truth + noise, 0, 255).astype(np.uint8)


def results(root: Path, folder: Path, change: Callable[[np.ndarray], np.ndarray] = lambda picture: picture,
            name: str = "picture_{:03d}.png", **options: Any) -> Path:
    """What a tool writes for super-resolution: poor pictures, changed."""
    for number, target in enumerate(truths(root), 1):
        save(folder / name.format(number), change(poor(target["hr"], number)), **options)
    return folder


def write_any(path: Path, wanted: Wanted, told: dict[str, Any], number: int) -> None:
    """A file of the kind that is wanted, with something in it; `path` has no ending."""
    rng = generator("any file", number)
    height, width = wanted.size or (0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    if wanted.kind is CLIP:
        clip = rng.integers(0, 256, (wanted.frames, height, width, 3), np.uint8)
        path.mkdir(parents=True)
        for name, data in CLIP.frames(clip, Form("")):
            (path / name).write_bytes(data)
        return
    if wanted.kind is VOLUME:
        like = Volume(np.zeros((width, height, 1), np.uint8), np.eye(4))
        ending, data = ".nii.gz", VOLUME.encode(rng.integers(0, 256, (1, height, width)).astype(np.uint8),
                                                Form(".nii.gz", like))
    elif wanted.kind is BANDS:
        ending, data = ".npy", BANDS.encode(rng.random((height, width, wanted.channels), np.float32), Form(".npy"))
    elif wanted.kind is LABELS:
        numbers = np.zeros((height, width, 1), np.int32)
        numbers[4:12, 4:12], numbers[20:30, 20:30] = 1, 2
        ending, data = ".png", LABELS.encode(numbers, Form(".png"))
    elif wanted.kind is BOXES:
        found = Boxes(np.array([[2, 3, 10, 12]], np.float32), (told["classes"][0],), np.array([0.75], np.float32))
        ending, data = ".json", BOXES.encode(found, Form(".json"))
    elif wanted.kind is CLASSES:
        ending, data = ".json", json.dumps({"class": told["classes"][1]}).encode()
    else:
        save(path.with_name(f"{path.name}.png"), rng.integers(0, 256, (height, width, wanted.channels), np.uint8))
        return
    path.with_name(f"{path.name}{ending}").write_bytes(data)


def write_all(root: Path, task: str, case: str, exported: dict[str, Any], folder: Path) -> None:
    """Such a file for each sample of an exported case."""
    files = registry.sample_files(task)
    own = {record.id: record.arrays for record in Shard(root / layout.inputs(task) / f"{case}.arrow")}
    for number, (name, entry) in enumerate(exported["samples"].items()):
        asked = files.wanted(own[entry["id"]])
        for part, wanted in asked.items():
            write_any(folder / part / name if len(asked) > 1 else folder / name, wanted, entry["told"], number)
