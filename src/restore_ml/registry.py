"""Finds tasks and methods by name; imports only the one that is asked for.

A task is a folder of `restore_ml.tasks` whose `task` defines `TASK`; it has tables when it has an `evaluation`, else it
only feeds other runs.

A method `vdsr` of the task `super_resolution` is `restore_ml.methods.super_resolution.vdsr.METHOD`; one that another
package ships is found through the entry-point group `restore_ml.methods` (name `super_resolution.vdsr`, value
`package.module:Class`). A run of another task names it with its task, `super_resolution.vdsr`; such a method lists the
tasks that it serves.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore_ml.base.errors import UserError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from restore_ml.method import Method
    from restore_ml.tasks.base import Parts, Task
    from restore_ml.tasks.photos import Exchange
    from restore_ml.tasks.sample_files import SampleFiles

HERE = Path(__file__).parent


def nearest(word: str, words: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the closest of `words`, else an empty text."""
    import difflib

    plain = {name.lower().replace("-", "_"): name for name in words}
    close = difflib.get_close_matches(word[:100].lower().replace("-", "_"), plain, 1)
    return f" Did you mean {plain[close[0]]!r}?" if close else ""


@lru_cache
def _all_tasks() -> tuple[str, ...]:
    """The folders of `tasks/` that hold a task, in no order that means anything."""
    return tuple(sorted(path.parent.name for path in (HERE / "tasks").glob("*/task.py")))


@lru_cache
def tables() -> tuple[str, ...]:
    """The tasks whose runs are tested and compared, in the order in which they are shown (`RANK`, then the name)."""
    with_table = [name for name in _all_tasks() if _has(name, "evaluation")]
    return tuple(sorted(with_table, key=lambda name: (
        getattr(importlib.import_module(f"restore_ml.tasks.{name}"), "RANK", 1000), name)))


def group(name: str) -> str:
    """The word under which a task is shown among others: `GROUP` of its package, or the kind of data it draws from."""
    said = getattr(importlib.import_module(f"restore_ml.tasks.{name}"), "GROUP", "")
    return str(said or task(name).domain)


def support() -> tuple[str, ...]:
    """The tasks that only feed other runs (feature networks)."""
    return tuple(name for name in _all_tasks() if not _has(name, "evaluation"))


def task_names() -> tuple[str, ...]:
    """All tasks: those with tables in their order, then those that only feed other runs."""
    return (*tables(), *support())


def task(name: str) -> Task:
    """The task of that name."""
    _check(name)
    return _part(name, "task", "TASK")


def parts(name: str) -> Parts:
    """What a task says of training and tests beside its definition."""
    from restore_ml.tasks.base import Parts

    return Parts(task(name), _part(name, "training", "TRAINING"), _part(name, "cases", "CASES"),
                 _part(name, "optional", "OPTIONAL"))


def photos(name: str) -> Exchange | None:
    """What a person gives of the task and gets; None for a task that takes no files of hers."""
    _check(name)
    return _part(name, "photos", "PHOTOS")


def sample_files(name: str) -> SampleFiles:
    """How the task's samples become files for other tools, and their files its outputs."""
    from restore_ml.tasks.sample_files import SampleFiles

    return _part(name, "sample_files", "FILES") or SampleFiles(task(name))


def evaluation_module(task_name: str) -> str | None:
    """The module with the task's metrics; None where it has none."""
    return f"restore_ml.tasks.{task_name}.evaluation" if _has(task_name, "evaluation") else None


def _check(name: str) -> None:
    if name not in _all_tasks():
        raise UserError(f"There is no task {name!r}; the tasks are {', '.join(tables())}.{nearest(name, tables())}")


def _has(task_name: str, module: str) -> bool:
    return (HERE / "tasks" / task_name / f"{module}.py").exists()


def _part(task_name: str, module: str, attribute: str) -> Any:
    """An attribute of a module of a task's folder; None where the folder has no such module."""
    if not _has(task_name, module):
        return None
    return getattr(importlib.import_module(f"restore_ml.tasks.{task_name}.{module}"), attribute)


def method_names(task_name: str) -> list[str]:
    """The names of all methods of a task, ours and those of other packages, sorted; nothing is imported."""
    ours = {path.stem for path in (HERE / "methods" / task_name).glob("*.py") if path.stem != "__init__"}
    foreign = {entry.name.partition(".")[2] for entry in _foreign() if entry.name.startswith(f"{task_name}.")}
    return sorted(ours | foreign)


def method_module(task_name: str, name: str) -> str:
    """The dotted name of the module that holds the method."""
    home, plain = _home(task_name, name)
    if not (HERE / "methods" / home / f"{plain}.py").exists():
        return _entry(home, plain).module
    return f"restore_ml.methods.{home}.{plain}"


def method_class(task_name: str, name: str) -> type[Method]:
    """The class of a method; the sentence of a `UserError` names the nearest right one."""
    module = method_module(task_name, name)
    home, plain = _home(task_name, name)
    cls = importlib.import_module(module).METHOD if module.startswith("restore_ml.methods.") else (
        _entry(home, plain).load())
    if home != task_name and task_name not in cls.serves:
        served = ", ".join([home, *cls.serves])
        raise UserError(f"The method {name!r} serves {served}, not {task_name}; it must name {task_name} in `serves`.")
    return cls


def method(task_name: str, name: str, settings: dict[str, Any]) -> Method:
    """A method with a run's settings, for the task of the run (which need not be the one that it was written for)."""
    method = method_class(task_name, name)(settings)
    method.task = task_name
    return method


def _home(task_name: str, name: str) -> tuple[str, str]:
    """The task that a method belongs to, and its name there; `super_resolution.vdsr` names both."""
    home, plain = name.split(".", 1) if name.partition(".")[0] in _all_tasks() and "." in name else (
        task_name, name)
    names = method_names(home)
    if plain not in names:
        raise UserError(f"There is no method {name!r} for {task_name}; there are {', '.join(names)}."
                        f"{nearest(plain, names)}")
    return home, plain


def _entry(task_name: str, name: str) -> EntryPoint:
    return next(entry for entry in _foreign() if entry.name == f"{task_name}.{name}")


@lru_cache(maxsize=1)
def _foreign() -> tuple[EntryPoint, ...]:
    """The methods of other packages, read once: to look through all installed packages takes 20 ms."""
    from importlib.metadata import entry_points  # a third of what `--help` would cost

    return tuple(entry_points(group="restore_ml.methods"))
