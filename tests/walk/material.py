"""A small project for the walk: textured pictures, the training material that each task makes of them, test samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.data import domains, shards
from restore_ml.data.shards import Record
from restore_ml.tasks.base import Sample
from restore_ml.tasks.optional_inputs import add_optional
from restore_ml.tasks.protocol import protocol
from tests.tasks.examples import beside
from tests.walk.entries import params

SMALLEST_POOL = 2
"""Masks of each kind: the task's own number costs seconds and tells no more here."""
ODD = (67, 59)
"""Height and width of the picture that is restored: coprime to every stride, large enough for what is fitted to it."""


def picture(number: int, height: int, width: int) -> np.ndarray:
    """Waves of several colours and lengths with a little grain and one edge, H x W x 3 uint8."""
    draws = np.random.default_rng(number)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / draws.uniform(3, 12) + draws.uniform(0, 6)) * np.cos(y / draws.uniform(3, 12))
             for _ in range(3)]
    smooth = 128 + 80 * np.stack(waves, 2) + draws.normal(0, 6, (height, width, 3))
    smooth[y > x + draws.integers(-height // 3, height // 3)] -= 40
    return np.clip(np.rint(smooth), 0, 255).astype(np.uint8)


def record(task: str, number: int, height: int, width: int, role: str = "") -> Record:
    """A prepared picture of the kind that the task takes, in its first role or another one."""
    seen, definition = picture(number, height, width), registry.task(task)
    arrays = domains.get(definition.roles[role] if role else definition.domain).from_rgb(seen)
    arrays |= {} if role else beside(task, number)
    return Record(f"{number:064x}", arrays, {"name": f"picture {number}"})


class Project:
    """A project folder whose training material is made when a task is first asked for."""

    def __init__(self, root: Path, profile: str = "quick", side: int = 128, count: int = 3) -> None:
        """`side`: the shorter side of the training pictures, `count` how many there are."""
        self.root, self.profile, self.side, self.count = root, profile, side, count

    def settings(self, task: str) -> dict[str, Any]:
        """The task's settings under the profile, with a small pool."""
        given = params(self.profile).tasks.get(task, {})
        return {**given, "pool": SMALLEST_POOL} if "pool" in registry.parts(task).defaults else dict(given)

    def material(self, task: str) -> Path:
        """samples/<task>/train, filled."""
        folder = self.root / layout.SAMPLES / task / "train"
        if not folder.exists():
            training, given = registry.parts(task).training, self.settings(task)
            records = [record(task, number, self.side, self.side + 16) for number in range(self.count)]
            shards.write(folder / "00.arrow", training.records(records, 1, given))
            for role in list(registry.task(task).roles)[1:]:
                others = [record(task, 10 + number, self.side, self.side + 16, role) for number in range(self.count)]
                shards.write(folder / "roles" / role / "00.arrow", training.partner_records(role, others, 1, given))
            for name, pool in training.pools(records, 1, given).items():
                shards.write(folder / "pools" / name / "pool.arrow", pool)
        return folder

    def degradations(self, task: str) -> list[str]:
        """What the task is tested on under the profile."""
        return registry.parts(task).cases.degradations(self.settings(task))


def sample(task: str, degradation: str, number: int, size: tuple[int, int]) -> Sample:
    """A whole picture of that size, degraded as a test picture is, with the task's optional inputs; partners are other
    pictures of that size."""
    canary = protocol(task).canary()
    settings = dict(canary.settings) if canary else params("quick").tasks.get(task, {})
    parts, seen = registry.parts(task), record(task, number, *size)
    made = parts.cases.sample(seen, degradation, 1, settings, lambda role: record(task, number + 50, *size, role))
    add_optional(parts.optional, made, degradation, 1, seen.id)
    return made
