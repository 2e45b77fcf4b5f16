"""What a rebuild will cost, from what its stages cost before: seconds of this machine, bytes of any."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flows.work.units import Unit
from restore_ml.base import layout
from restore_ml.base.files import write_json

FILE = layout.COSTS / "stages.json"
"""profile -> stage -> seconds and MB of memory of the last time that it ran here."""
SIZE = re.compile(r"^      size: (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Cost:
    """Of a stage: seconds, and the most memory of its process in MB (0 where nobody measured it)."""

    seconds: float
    megabytes: float = 0.0


class Estimate:
    """What the stages of the active profile cost the last time."""

    def __init__(self, root: Path, profile: str) -> None:
        """Read what earlier rebuilds wrote down; nothing where there is nothing to be read."""
        self.path, self.profile = root / FILE, profile
        try:
            self.all = json.loads(self.path.read_text(encoding="utf-8"))
            self.known = {stage: Cost(*map(float, cost)) for stage, cost in self.all.get(profile, {}).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            self.all, self.known = {}, {}

    def seconds(self, unit: Unit) -> float:
        """Of a unit; 0 for stages that never ran here."""
        return sum(self.known[stage].seconds for stage in unit.stages if stage in self.known)

    def megabytes(self, unit: Unit, otherwise: float) -> float:
        """The most memory that one of its stages takes."""
        recorded = [self.known[stage].megabytes for stage in unit.stages if stage in self.known]
        return max(recorded, default=0.0) or otherwise

    def unknown(self, units: Iterable[Unit]) -> int:
        """How many units have a stage that never ran here."""
        return sum(any(stage not in self.known for stage in unit.stages) for unit in units)

    def record(self, costs: dict[str, Cost]) -> None:
        """Keep what stages cost now."""
        if costs:
            self.known |= costs
            write_json(self.path, self.all | {self.profile: {
                stage: [cost.seconds, cost.megabytes] for stage, cost in self.known.items()}})

    def total(self, units: list[Unit], workers: int) -> float:
        """Seconds until the last of the units ends, if each of `workers` always has one to do."""
        costs = {unit.name: self.seconds(unit) for unit in units}
        ends: dict[str, float] = {}
        for unit in units:  # what a unit waits for stands before it
            waits = max((ends.get(name, 0.0) for name in unit.after | unit.following), default=0.0)
            ends[unit.name] = waits + costs[unit.name]
        return max(sum(costs.values()) / max(1, workers), *ends.values(), 0.0)


def megabytes_on_disk(root: Path, units: Iterable[Unit]) -> float:
    """What the outputs of the units take, as their locks have it of the last time (of whatever profile)."""
    texts: dict[str, str] = {}
    total = 0
    for unit in units:
        for stage in unit.stages:
            file, _, name = stage.partition(":")
            lock = root / Path(file).with_name("dvc.lock")
            if file not in texts:
                texts[file] = lock.read_text(encoding="utf-8") if lock.exists() else ""
            outs = re.search(rf"^  {re.escape(name)}:\n(?:    .*\n)*?    outs:\n((?:    .*\n)*)", texts[file],
                              re.MULTILINE)
            total += sum(map(int, SIZE.findall(outs[1]))) if outs else 0
    return total / 1e6


def sentence(units: list[Unit], estimate: Estimate, workers: int, disk: float) -> str:
    """`23 units to build with 2 workers: about 4 min 10 s and 120 MB of disk (3 never ran here, ...).`"""
    unknown = estimate.unknown(units)
    if unknown == len(units):
        return (f"{len(units)} units to build with {workers} workers; how long is not known, since none of them was "
                "built here yet.")
    left = f" ({unknown} never ran here and are not counted)" if unknown else ""
    return (f"{len(units)} units to build with {workers} workers: about {words(estimate.total(units, workers))} and "
            f"{disk:.0f} MB of disk{left}.")


def words(seconds: float) -> str:
    """`48 s`, `4 min 10 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
