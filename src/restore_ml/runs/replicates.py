"""Writes replicates into the tasks' runs.yaml: runs that repeat another one (`of:`) under a seed of their own.

DVC reads the runs of runs.yaml itself, so every seed that is trained stands there as an entry, on one line
`  vdsr_s2: {of: vdsr, features: none, ..., seed: 2}`. Such lines are the only ones that this module takes away again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import write_text
from restore_ml.registry import nearest, tables
from restore_ml.runs import settings
from restore_ml.runs.run_entry import RUN_NAME, SLOTS

LINE = re.compile(rf"^  (?P<name>{RUN_NAME.pattern}): \{{of: (?P<of>{RUN_NAME.pattern}), .*\}}\n?$")
RUNS = re.compile(r"^runs:( &\w+)?\s*$")


def write(root: Path, count: int | None = None, runs: Sequence[str] = ()) -> str:
    """Give each of `runs` (`run` or `task/run`; all that draw random numbers, unless named) `count` seeds, itself
    included; by default as many as `seeds:` asks of the active profile. Returns a sentence; `UserError` for unknown
    runs."""
    params = settings.load(root / layout.PARAMS)
    wanted = params.seeds if count is None else count
    if wanted < 1:
        raise UserError(f"The number of seeds is {wanted}; give a whole number of at least 1.")
    bases = [run for run in params.runs.values() if run.task in tables() and not run.of and not run.outputs]
    names = {name for run in bases for name in (run.name, run.key)}
    for name in runs:
        if name not in names:
            raise UserError(f"There is no run {name!r} that could be repeated.{nearest(name, names)}")
    chosen = [run for run in bases if run.name in runs or run.key in runs or (not runs and draws(run))]
    before, after = {}, {}
    for task in dict.fromkeys(run.task for run in chosen):
        path = root / layout.runs_file(task)
        before[path] = path.read_text(encoding="utf-8")
        after[path] = _with_seeds(before[path], [run for run in chosen if run.task == task], wanted, path)
    if after == before:
        return f"Nothing to change: {wanted} seeds a run."
    for path, text in after.items():
        if text != before[path]:
            write_text(path, text)
    try:
        settings.load(root / layout.PARAMS)
    except UserError:
        for path, text in before.items():
            write_text(path, text)
        raise
    return (f"{', '.join(str(path.relative_to(root)) for path in after)}: {len(chosen)} runs with {wanted} seeds each, "
            f"{len(chosen) * (wanted - 1)} entries; `make repro` trains them.")


def _with_seeds(text: str, runs: Sequence[settings.Run], wanted: int, path: Path) -> str:
    """A runs.yaml with the replicates of `runs` in place of those that it has."""
    names = {run.name for run in runs}
    kept = [line for line in text.splitlines(keepends=True)
            if not ((match := LINE.match(line)) and match["of"] in names)]
    added = []
    for run in runs:
        slots = ", ".join(f"{slot}: {run.slots.get(slot, layout.NONE)}" for slot in SLOTS)
        added += [f"  {run.name}_s{number}: {{of: {run.name}, {slots}, seed: {run.seed + number - 1}}}\n"
                  for number in range(2, wanted + 1)]
    end = end_of_runs(kept, path)
    return "".join([*kept[:end], *added, *kept[end:]])


def draws(run: settings.Run) -> bool:
    """Whether a run's result depends on its seed: it trains, is fitted, or is optimised on the picture."""
    from restore_ml.runs.fingerprints import kind

    return kind(run) not in ("no training", "imported", layout.OUTSIDE)


def end_of_runs(lines: list[str], path: Path) -> int:
    """The line after the last entry of `runs:`."""
    start = next((number for number, line in enumerate(lines) if RUNS.match(line)), None)
    if start is None:
        raise UserError(f"{path} must have a line 'runs:' with the runs below it.")
    end = start + 1
    for number in range(start + 1, len(lines)):
        if lines[number].strip() and not lines[number].startswith((" ", "#")):
            break
        if lines[number].startswith("  ") and lines[number].strip():
            end = number + 1
    return end
