"""The entry of a run of kind `outside` in its task's runs.yaml, on one line, as DVC reads it."""

from __future__ import annotations

from pathlib import Path

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import write_text
from restore_ml.runs import settings
from restore_ml.runs.one_line import flow
from restore_ml.runs.replicates import end_of_runs
from restore_ml.runs.run_entry import SLOTS


def write(root: Path, task: str, run: str) -> list[str]:
    """Put the run behind the others of its task unless it is there; returns what to say of it. Nothing is left of an
    entry with which the settings could not be read (`UserError`)."""
    path = root / layout.runs_file(task)
    params = settings.load(root / layout.PARAMS)
    if f"{task}/{run}" in {**params.runs, **params.elsewhere}:
        return []
    before = path.read_text(encoding="utf-8")
    lines = before.splitlines(keepends=True)
    end = end_of_runs(lines, path)
    slots = ", ".join(f"{slot}: {layout.NONE}" for slot in SLOTS)
    lines.insert(end, f"  {flow(run)}: {{outputs: {layout.outputs(task, run).as_posix()}, {slots}}}\n")
    write_text(path, "".join(lines))
    try:
        settings.load(root / layout.PARAMS)
    except UserError:
        write_text(path, before)
        raise
    return [f"{path.relative_to(root)}: the run {run}, of kind {layout.OUTSIDE}."]
