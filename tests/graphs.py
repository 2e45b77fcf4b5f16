"""Projects of tests: the runs of a task as its runs.yaml has them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from restore_ml.base import layout
from restore_ml.registry import tables, task_names
from restore_ml.runs import graph
from restore_ml.runs.run_entry import SLOTS

EMPTY = dict.fromkeys(SLOTS, layout.NONE)


def write_runs(root: Path, task: str, runs: dict[str, dict[str, Any]], **more: Any) -> Path:
    """Write graph/<task>/runs.yaml of the project with these runs (slots that are not named are empty); `more`: other
    keys of the file, as `samples` and `margins`. Returns the file."""
    whole = {name: {**EMPTY, **entry} for name, entry in runs.items()}
    shown = [task] if task in tables() else []
    domain, other = graph.domains_of(task) if task in task_names() else ("photos", "photos")
    content = {"task": task, "tables": shown, "domain": domain, "other_domain": other, "judge": layout.NONE,
               "samples": {}, "margins": {}, **more,
               "runs": whole, "tested": whole if shown else {}}
    out = io.StringIO()
    yaml = YAML(typ="safe")
    yaml.sort_base_mapping_type_on_output = False
    yaml.dump(content, out)
    path = root / layout.runs_file(task)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(out.getvalue(), encoding="utf-8")
    return path


def edit_runs(root: Path, task: str, **changes: Any) -> None:
    """Change runs of a task (None takes one away), whatever else its runs.yaml holds."""
    content = YAML(typ="safe").load((root / layout.runs_file(task)).read_text(encoding="utf-8"))
    runs = {name: entry for name, entry in {**content["runs"], **changes}.items() if entry is not None}
    mine = ("task", "tables", "domain", "other_domain", "judge", "runs", "tested", "empty")
    write_runs(root, task, runs, **{key: value for key, value in content.items() if key not in mine})


def write_task_scores(root: Path, task: str, rows: Any) -> None:
    """Write the score rows of a task as its runs' stages do: one file a run, in place of those that are there."""
    from restore_ml.evaluation.scoring import write_scores

    for path in (root / layout.scores(task)).glob("*.parquet"):
        path.unlink()
    for run, frame in rows.groupby("run"):
        write_scores(root / layout.scores(task, str(run)), frame)
