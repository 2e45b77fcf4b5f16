"""What a rebuild has to do, cut into units that may go side by side.

    degrade of a task                        first of all, and when that is over
    validate of a task                       then, of each of its runs,
    train, restore and score of a run        behind the runs that fill its slots; then
    compare and champion of a task           when all its runs have ended, however they did
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from restore_ml.base import layout
from restore_ml.registry import tables
from restore_ml.runs import settings


@dataclass(frozen=True)
class Unit:
    """Stages that one lane runs one after the other.

    `after`: the units (by name) whose results it reads; `following`: units that must only have ended. `task`: whose it
    is; `table`: whether it ends with the task's table.
    """

    name: str
    stages: tuple[str, ...]
    after: frozenset[str] = frozenset()
    following: frozenset[str] = frozenset()
    task: str = ""
    table: bool = False


def degrading(tasks: Iterable[str]) -> list[Unit]:
    """What makes the samples of tasks. When it is over, `dvc status` knows which of the other units are stale."""
    return [Unit(f"degrade {task}", (layout.stage("degrade", task),)) for task in tasks]


def tasks_of(params: settings.Params, task: str, chosen: Sequence[settings.Run]) -> list[str]:
    """The tasks that a rebuild of one task, of the runs `chosen`, or of everything takes part in."""
    if not task and not chosen:
        return list(params.tasks)
    wanted = with_slots(params, chosen or params.runs_of(task))
    return [name for name in params.tasks if name == task or any(run.task == name for run in wanted)]


def with_slots(params: settings.Params, runs: Iterable[settings.Run]) -> list[settings.Run]:
    """The runs and all that they and their scores need, and those, in the order of the tasks' runs.yaml."""
    wanted: set[str] = set()
    waiting = list(runs)
    while waiting:
        run = waiting.pop()
        if run.key not in wanted:
            wanted.add(run.key)
            waiting += [params.runs[other] for other in params.needs_of(run)]
    return [run for run in params.runs.values() if run.key in wanted]


def units(params: settings.Params, task: str = "", chosen: Sequence[settings.Run] = ()) -> list[Unit]:
    """Of everything, of one task, or of the runs `chosen` alone (which get no tables)."""
    wanted = with_slots(params, chosen or (params.runs_of(task) if task else params.runs.values()))
    stages = []
    everything = () if task or chosen else params.tasks  # a task without runs has samples that must be right as well
    for name in dict.fromkeys((*everything, *(run.task for run in wanted))):
        stages.append(Unit(f"validate {name}", (layout.stage("validate", name),), frozenset({f"degrade {name}"}),
                           task=name))
        stages += [_run(params, run) for run in wanted if run.task == name]
        left_out = [] if chosen else [run for run in params.elsewhere.values() if run.task == name]
        stages += [_run(params, run) for run in left_out]  # whose stages only say so
        ends = frozenset(run.key for run in (*wanted, *left_out) if run.task == name)
        if ends and not chosen and name in tables() and (not task or name == task):
            stages.append(Unit(f"compare {name}", (layout.stage("compare", name, name),
                                                  layout.stage("champion", name, name)), following=ends, task=name,
                              table=True))
    return stages


def _run(params: settings.Params, run: settings.Run) -> Unit:
    kinds = ("train", "restore", "score") if run.task in tables() else ("train",)
    needs = params.needs_of(run) if run.key in params.runs else set(params.judges.get(run.task, "").split())
    return Unit(run.key, tuple(layout.stage(kind, run.task, run.name) for kind in kinds),
                frozenset({f"validate {run.task}", *needs}), task=run.task)


def stale(stages: list[Unit], changed: set[str]) -> list[Unit]:
    """The units with a stage in `changed` (what `dvc status` names), or behind such a unit. One that stands behind
    nothing stale begins at its first stage in `changed`."""
    names = {unit.name for unit in stages if changed & set(unit.stages)}
    while more := {unit.name for unit in stages if (unit.after | unit.following) & names} - names:
        names |= more
    return [unit if unit.after & names else _from_first(unit, changed) for unit in stages if unit.name in names]


def _from_first(unit: Unit, changed: set[str]) -> Unit:
    first = next((number for number, stage in enumerate(unit.stages) if stage in changed), 0)
    return replace(unit, stages=unit.stages[first:])
