"""Which runs of a task can restore as they are: those with a model of today's code, settings and training pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json
from restore_ml.imported.model import fingerprint_of
from restore_ml.registry import nearest
from restore_ml.runs import fingerprints
from restore_ml.runs.settings import Params, Run, built_at
from restore_ml.tasks.base import Material
from restore_ml.training.train import fingerprint


@dataclass(frozen=True)
class Usable:
    """`runs` in the order of runs.yaml; `left_out`: the others, each with the reason; `code`: what the stages of these
    runs depend on, as the folder `code` would have it; `unchecked`: whether nothing could say that models are of
    today's training pictures."""

    runs: list[Run]
    left_out: dict[str, str] = field(default_factory=dict)
    code: dict[str, Any] = field(default_factory=dict)
    unchecked: bool = False


def usable(root: Path, params: Params, task: str, named: Sequence[str] = ()) -> Usable:
    """The runs of a task, or of them those that `named` names; `UserError` for a name that there is not."""
    own, elsewhere = params.runs_of(task), [run for run in params.elsewhere.values() if run.task == task]
    for name in named:
        if name not in {run.name for run in (*own, *elsewhere)}:
            names = [run.name for run in own]
            raise UserError(f"{task} has no run {name!r}; it has {', '.join(names)}.{nearest(name, names)}")
    found = Usable([], {run.name: f"it is {built_at(run)}" for run in elsewhere if not named or run.name in named},
                   fingerprints.code(root, _of_task(params, task)), not (root / layout.material(task)).is_dir())
    for run in own:
        if named and run.name not in named:
            continue
        reason = _fault(root, run, found)
        if reason:
            found.left_out[run.name] = reason
        else:
            found.runs.append(run)
    return found


def _fault(root: Path, run: Run, found: Usable) -> str:
    """Why the run cannot be used, or nothing."""
    path = root / layout.model(run.task, run.name) / "model.json"
    if not path.exists():
        return "it has no model here"
    about = read_json(path)
    if about.get("status") == layout.OUTSIDE:
        return "it is outputs of another tool, which knows nothing of these pictures"
    if about.get("status") != "ok":
        return f"its training ended as {about.get('status')}: {about.get('reason')}"
    spec = found.code[layout.code("train", run.task, run.name).relative_to(layout.CODE).as_posix()]
    if run.weights:
        wanted = fingerprint_of(spec)
    elif found.unchecked:
        return ""
    else:
        wanted = fingerprint(spec, Material(root / layout.material(run.task)), root)
    if about.get("fingerprint") != wanted:
        return "its model is of other code, settings or training pictures than today's"
    return ""


def _of_task(params: Params, task: str) -> Params:
    """The parameters with the runs of a task alone and those whose models these need: the others cost seconds."""
    wanted: dict[str, Run] = {}
    waiting = params.runs_of(task)
    while waiting:
        run = waiting.pop()
        if run.key not in wanted:
            wanted[run.key] = run
            waiting += [params.runs[other] for other in params.needs_of(run)]
    tasks = {name: settings for name, settings in params.tasks.items() if name == task}
    return dataclasses.replace(params, tasks=tasks, elsewhere={}, runs={
        key: run for key, run in params.runs.items() if key in wanted})
