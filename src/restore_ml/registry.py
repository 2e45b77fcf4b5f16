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
from pathlib import Path
from typing import TYPE_CHECKING

from restore_ml.errors import UserError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from restore_ml.method import Method
    from restore_ml.tasks.base import Task

TASKS = ("super_resolution", "inpainting", "colorization", "cloud_removal")
"""The tasks with tables, in the order in which they are shown."""
SUPPORT = ("representation",)
"""Tasks that only feed other runs (feature networks)."""


def nearest(word: str, words: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the closest of `words`, else an empty text."""
    plain = {name.lower().replace("-", "_"): name for name in words}
    close = difflib.get_close_matches(word[:100].lower().replace("-", "_"), plain, 1)
    return f" Did you mean {plain[close[0]]!r}?" if close else ""


def task(name: str) -> Task:
    """The task of that name."""
    if name not in (*TASKS, *SUPPORT):
        raise UserError(f"There is no task {name!r}; the tasks are {', '.join(TASKS)}.{nearest(name, TASKS)}")
    return importlib.import_module(f"restore_ml.tasks.{name}").TASK


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


def _foreign() -> list[EntryPoint]:
    from importlib.metadata import entry_points  # a third of what `--help` would cost

    return list(entry_points(group="restore_ml.methods"))
