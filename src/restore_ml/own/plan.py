"""What trying the runs of a task on a person's pictures will cost, said before it begins.

A few pictures are read and degraded to see how large they are and how long that takes; what restoring and scoring took
a megapixel the last time on this machine is in the records of the rebuilds.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from restore_ml import registry
from restore_ml.arrays import Arrays
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.data import domains
from restore_ml.data.domain import identity
from restore_ml.data.shards import Record
from restore_ml.own.folder import Folder, cropped
from restore_ml.runs.settings import Run
from restore_ml.tasks.base import Parts
from restore_ml.tasks.optional_inputs import add_optional
from restore_ml.tasks.partners import partners_of_tests

SAMPLED = 3
"""Pictures that are read and degraded for the estimate."""
LONG, LARGE = 900.0, 2000.0
"""Seconds and megabytes from which on a person is asked first."""
START = 6.0
"""Seconds to start the workers, write the tables and the page."""
A_MEGAPIXEL = 1.0
"""Seconds of scoring where no record says any."""
PICTURES, GIVEN = 12, 2
"""Of each case the pages show so many pictures: what every run made of them, and input and truth."""
ON_A_PAGE = 3.5
"""Megabytes of a megapixel on a page: a PNG of a photograph (half of its bytes), and a third more of it as a script."""


@dataclass
class Plan:
    """`seconds` by run (restoring and scoring), of all in all with so many workers, and what it takes of the disk.
    `unknown`: runs of which no restoring is recorded here."""

    pictures: int
    by_run: dict[str, float] = field(default_factory=dict)
    before: float = 0.0
    megabytes: float = 0.0
    unknown: list[str] = field(default_factory=list)
    size: str = ""

    def seconds(self, workers: int) -> float:
        """Until the table is there."""
        shares = list(self.by_run.values()) or [0.0]
        return START + self.before + max(sum(shares) / workers, *shares)

    def sentence(self, workers: int) -> str:
        """What it will cost, in words."""
        left = f" ({', '.join(self.unknown)} never restored here and are not counted)" if self.unknown else ""
        runs = of(len(self.by_run) + len(self.unknown), "runs")
        return (f"{of(self.pictures, 'pictures')}{self.size}, {runs}, {workers} at once: "
                f"{'more than' if self.unknown else 'about'} "
                f"{words(self.seconds(workers))} and {self.megabytes:.0f} MB of disk{left}; nothing is trained.")


def plan(root: Path, parts: Parts, settings: dict[str, object], seed: int, runs: Sequence[Run], folder: Folder,
         crop: int) -> Plan:
    """The plan for all records of the folder, from the first, a middle and the last one."""
    assert parts.cases is not None
    made = Plan(len(folder.found))
    count, taken, places = len(folder.found), 0, 0
    started, bytes_read, bytes_made = time.monotonic(), 0, 0
    megapixels: dict[str, float] = {}
    first = dict.fromkeys(round(step * (count - 1) / max(1, SAMPLED - 1)) for step in range(SAMPLED)) if count else {}
    for place in dict.fromkeys([*first, *range(count)]):
        if places >= len(first) and taken:  # where none of them can be read, on to the first that can
            break
        reported, places = len(folder.report.refused), places + 1
        for picture in folder.read(folder.found[place]):
            arrays = cropped(picture.arrays, folder.kind, crop)
            bytes_read += sum(array.nbytes for array in arrays.values())
            taken += 1
            for case, pixels, size in _cases(root, parts, settings, seed, arrays):
                megapixels[case] = megapixels.get(case, 0.0) + pixels
                bytes_made += size
        del folder.report.refused[reported:]  # it is read again, and said then
    if not taken:
        return made
    share = count / places  # of all places to those read: one of them may hold many records, or none that is used
    made.before = (time.monotonic() - started) * share
    megapixels = {case: pixels * share for case, pixels in megapixels.items()}
    rates = _rates(root, parts.task.name, [run.name for run in runs])
    outputs, shown = 0.0, min(1.0, PICTURES / (taken * share))
    pages = GIVEN * sum(megapixels.values()) * shown
    for run in runs:
        method = registry.method(run.task, run.method, run.settings)
        pixels = sum(value for case, value in megapixels.items() if method.unsupported(case) is None)
        outputs += 3 * pixels
        pages += pixels * shown
        restoring, scoring = rates[run.name]
        if math.isnan(restoring):
            made.unknown.append(run.name)
        else:
            made.by_run[run.name] = pixels * (restoring + scoring)
    made.megabytes = (bytes_read + bytes_made) * share / 1e6 + outputs + ON_A_PAGE * pages
    largest = max(megapixels.values(), default=0.0) / (taken * share)
    made.size = f" ({largest:.{2 if largest >= 0.005 else 4}f} megapixels each, as they are tested)" if largest else ""
    if taken > places:  # a place holds many records: a person's folder all faces
        made.pictures = round(taken * share)
    return made


def _cases(root: Path, parts: Parts, settings: dict[str, object], seed: int,
           arrays: Arrays) -> list[tuple[str, float, int]]:
    """Of a picture, each case with the megapixels to restore and the bytes of its sample."""
    assert parts.cases is not None
    if parts.task.accepts(arrays[domains.get(parts.task.domain).main], settings):
        return []
    record, found = Record(identity(arrays), arrays, {}), []
    partners = partners_of_tests(parts.task, root / layout.PREPARED, "")
    for case in parts.cases.degradations(settings):
        if parts.cases.leaves_out(record, case, settings):
            continue
        sample = parts.cases.sample(record, case, seed, settings, partners.of(seed, record.id, case))
        add_optional(parts.optional, sample, case, seed, record.id)
        both = {**sample.inputs, **sample.target}
        specs = parts.task.arrays
        sizes = [specs[name].kind.size(value) for name, value in both.items() if name in specs]
        pixels = max((height * width for height, width in filter(None, sizes)), default=0)
        size = sum(value.nbytes for side in (sample.inputs, sample.target) for value in side.values())
        found.append((case, pixels / 1e6, size))
    return found


def _rates(root: Path, task: str, runs: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Seconds a megapixel of restoring (NaN where no record says it) and of scoring, by run."""
    import pandas as pd

    from restore_ml.evaluation.comparison import join_costs

    table = join_costs(pd.DataFrame({"run": list(runs)}), task, root)
    restoring = {run: value / 1000 for run, value in zip(table["run"], table["ms_per_megapixel"], strict=True)}
    tested = _tested_megapixels(root, task)
    stages = _stages(root)
    scoring = {}
    for run in runs:
        seconds = stages.get(layout.stage("score", task, run))
        scoring[run] = max(0.1, seconds - 1.0) / tested if seconds and tested else A_MEGAPIXEL
    return {run: (restoring[run], scoring[run]) for run in runs}


def _stages(root: Path) -> Mapping[str, float]:
    """Seconds of each stage of the active profile the last time that it ran here, as rebuilds write them down."""
    from restore_ml.runs import settings

    try:
        known = json.loads((root / layout.COSTS / "stages.json").read_text(encoding="utf-8"))
        profile = settings.load(root / layout.PARAMS).profile
        return {stage: float(cost[0]) for stage, cost in known.get(profile, {}).items()}
    except (OSError, ValueError, TypeError, AttributeError, IndexError):
        return {}


def _tested_megapixels(root: Path, task: str) -> float:
    """Megapixels of the project's own test cases: what its stages took their seconds for."""
    import pyarrow.parquet as pq

    path = root / layout.samples(task) / "contract.parquet"
    if not path.exists():
        return 0.0
    table = pq.read_table(path, filters=[("split", "==", "test")]).to_pandas()
    heights = [name for name in table if name.endswith(".height")]
    areas = [table[name].fillna(0) * table[name.replace(".height", ".width")].fillna(0) for name in heights]
    return float(np.max(areas, axis=0).sum()) / 1e6 if areas else 0.0


def agreed(made: Plan, workers: int, root: Path, yes: bool) -> bool:
    """Whether to go on: at once where it is short and small, else by `yes` or what a person at the terminal answers.

    `UserError` where nobody can be asked, or the disk is too small.
    """
    sentence, free = made.sentence(workers), shutil.disk_usage(root).free / 1e6
    print(sentence, flush=True)
    if made.megabytes > free:
        raise UserError(f"{root} has {free:.0f} MB of disk left, and this takes about {made.megabytes:.0f}; give "
                        "--pictures N, --crop N, --cases or --runs to make it smaller.")
    if yes or (made.seconds(workers) < LONG and made.megabytes < min(LARGE, free / 2)):
        return True
    smaller = "--pictures 24 draws some of them, --crop 500 cuts their middle, --runs and --cases choose"
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise UserError(f"That is long or large, so it was not begun. Give --yes to have it all the same; {smaller}.")
    print(f"That is long or large; {smaller}. Go on all the same? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def words(seconds: float) -> str:
    """`48 s`, `4 min 10 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def of(count: int, what: str) -> str:
    """`24 pictures`, `1 run`."""
    return f"{count} {what if count != 1 else what.removesuffix('s')}"


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
