"""Finds tasks and methods by name; imports only the one that is asked for.

A method `vdsr` of the task `super_resolution` is `restore_ml.methods.super_resolution.vdsr.METHOD`; one that another
package ships is found through the entry-point group `restore_ml.methods` (name `super_resolution.vdsr`, value
`package.module:Class`).
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore_ml.errors import UserError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from restore_ml.method import Method
    from restore_ml.tasks.base import Parts, Task

def nearest(word: str, words: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the closest of `words`, else an empty text."""
    plain = {name.lower().replace("-", "_"): name for name in words}
    close = difflib.get_close_matches(word[:100].lower().replace("-", "_"), plain, 1)
    return f" Did you mean {plain[close[0]]!r}?" if close else ""


@lru_cache
def _all_tasks() -> tuple[str, ...]:
    """The folders of `tasks/` that hold a task, in no order that means anything."""
    folder = Path(__file__).parent / "tasks"
    return tuple(sorted(path.parent.name for path in folder.glob("*/task.py")))


@lru_cache
def tables() -> tuple[str, ...]:
    """The tasks whose runs are tested and compared, in the order in which they are shown (`RANK`, then the name)."""
    with_table = [name for name in _all_tasks() if _has(name, "evaluation")]
    return tuple(sorted(with_table, key=lambda name: (
        getattr(importlib.import_module(f"restore_ml.tasks.{name}"), "RANK", 1000), name)))


def task_names() -> tuple[str, ...]:
    """All tasks: those with tables in their order, then those that only feed other runs (feature networks)."""
    return (*tables(), *(name for name in _all_tasks() if name not in tables()))


def task(name: str) -> Task:
    """The task of that name."""
    _check(name)
    return _part(name, "task", "TASK")


def parts(name: str) -> Parts:
    """What a task says of training and tests beside its definition."""
    from restore_ml.tasks.base import Parts

    return Parts(task(name), _part(name, "training", "TRAINING"), _part(name, "cases", "CASES"),
                 _part(name, "optional", "OPTIONAL"))


def _check(name: str) -> None:
    if name not in _all_tasks():
        raise UserError(f"There is no task {name!r}; the tasks are {', '.join(tables())}.{nearest(name, tables())}")


def _has(task_name: str, module: str) -> bool:
    return (Path(__file__).parent / "tasks" / task_name / f"{module}.py").exists()


def _part(task_name: str, module: str, attribute: str) -> Any:
    """An attribute of a module of a task's folder; None where the folder has no such module."""
    if not _has(task_name, module):
        return None
    return getattr(importlib.import_module(f"restore_ml.tasks.{task_name}.{module}"), attribute)


def method_names(task_name: str) -> list[str]:
    """The names of all methods of a task, ours and those of other packages, sorted; nothing is imported."""
    folder = Path(__file__).parent / "methods" / task_name
    own = {path.stem for path in folder.glob("*.py") if path.stem != "__init__"}
    foreign = {entry.name.partition(".")[2] for entry in _foreign() if entry.name.startswith(f"{task_name}.")}
    return sorted(own | foreign)


def method_module(task_name: str, name: str) -> str:
    """The dotted name of the module that holds the method."""
    if name not in method_names(task_name):
        known = method_names(task_name)
        raise UserError(f"There is no method {name!r} for {task_name}; there are {', '.join(known)}."
                        f"{nearest(name, known)}")
    own = f"restore_ml.methods.{task_name}.{name}"
    if (Path(__file__).parent / "methods" / task_name / f"{name}.py").exists():
        return own
    return next(entry.module for entry in _foreign() if entry.name == f"{task_name}.{name}")


def method_class(task_name: str, name: str) -> type[Method]:
    """The class of a method; the sentence of a `UserError` names the nearest right one."""
    module = method_module(task_name, name)
    if module.startswith("restore_ml.methods."):
        return importlib.import_module(module).METHOD
    return next(entry for entry in _foreign() if entry.name == f"{task_name}.{name}").load()


@lru_cache
def _foreign() -> list[EntryPoint]:
    from importlib.metadata import entry_points  # a third of what `--help` would cost

    return list(entry_points(group="restore_ml.methods"))
