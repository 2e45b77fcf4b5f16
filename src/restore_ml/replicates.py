"""Writes replicates into params.yaml: runs that repeat another one (`of:`) under a seed of their own.

DVC reads the runs of params.yaml itself, so every seed that is trained stands there as an entry. Lines that this module
writes look like `  vdsr_s2: {of: vdsr, task: super_resolution, needs: none, seed: 2}` and are the only ones it takes
away again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from restore_ml import settings
from restore_ml.errors import UserError
from restore_ml.files import write_text
from restore_ml.registry import nearest, tables

LINE = re.compile(r"^  (?P<name>\w+): \{of: (?P<of>\w+), .*\}\n?$")


def write(root: Path, count: int | None = None, runs: Sequence[str] = ()) -> str:
    """Give each of `runs` (all that draw random numbers, unless named) `count` seeds in params.yaml, itself included;
    by default as many as `seeds:` asks of the active profile. Returns a sentence; `UserError` for unknown runs."""
    path = root / "params.yaml"
    params = settings.load(path)
    wanted = params.seeds if count is None else count
    if wanted < 1:
        raise UserError(f"The number of seeds is {wanted}; give a whole number of at least 1.")
    bases = {run.name: run for run in params.runs.values() if run.task in tables() and not run.of}
    for name in runs:
        if name not in bases:
            raise UserError(f"There is no run {name!r} that could be repeated.{nearest(name, bases)}")
    chosen = [run for run in bases.values() if run.name in runs or (not runs and draws(run))]
    names = {run.name for run in chosen}
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not ((found := LINE.match(line)) and found["of"] in names)]
    added = [f"  {run.name}_s{number}: {{of: {run.name}, task: {run.task}, needs: {run.needs}, "
             f"seed: {run.seed + number - 1}}}\n" for run in chosen for number in range(2, wanted + 1)]
    end = _end_of_runs(kept, path)
    text = "".join([*kept[:end], *added, *kept[end:]])
    if text == "".join(lines):
        return f"Nothing to change: {wanted} seeds a run in {path}."
    before = "".join(lines)
    write_text(path, text)
    try:
        settings.load(path)
    except UserError:
        write_text(path, before)
        raise
    return f"{path}: {len(chosen)} runs with {wanted} seeds each, {len(added)} entries; `make repro` trains them."


def draws(run: settings.Run) -> bool:
    """Whether a run's result depends on its seed: it trains, is fitted, or is optimised on the picture."""
    from restore_ml.fingerprints import kind

    return kind(run) != "no training"


def _end_of_runs(lines: list[str], path: Path) -> int:
    """The line after the last entry of `runs:`."""
    try:
        start = lines.index("runs:\n")
    except ValueError:
        raise UserError(f"{path} must have a line 'runs:' with the runs below it.") from None
    end = start + 1
    for number in range(start + 1, len(lines)):
        if lines[number].strip() and not lines[number].startswith((" ", "#")):
            break
        if lines[number].startswith("  ") and lines[number].strip():
            end = number + 1
    return end
