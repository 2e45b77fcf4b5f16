"""The part of this package that a stored model brings with it: what restoring may need, and of tasks and methods its
own and those that these import.

Whole, it would be hundreds of files a model, most of them other methods.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import restore_ml

HERE = Path(restore_ml.__file__).parent
LEFT_OUT = ("degrading", "report", "tracking")
"""Rooms that nothing that restores imports."""
BY_TASK = ("methods", "tasks")
NAMED = re.compile(r"restore_ml\.(?:methods|tasks)\.(\w+)")


def tasks_needed(tasks: Iterable[str]) -> set[str]:
    """The tasks, and those whose modules they and their methods import, by any way."""
    waiting, found = set(tasks), set()
    while waiting:
        task = waiting.pop()
        found.add(task)
        for room in BY_TASK:
            for path in (HERE / room / task).glob("*.py"):
                named = set(NAMED.findall(path.read_text(encoding="utf-8")))
                waiting |= {name for name in named if (HERE / "tasks" / name).is_dir()} - found
    return found


def lay_out(folder: Path, tasks: Iterable[str]) -> Path:
    """Make `folder`/restore_ml of links to the files that a model of the tasks needs; returns it."""
    needed = tasks_needed(tasks)

    def ignored(where: str, names: list[str]) -> list[str]:
        room = Path(where).relative_to(HERE).as_posix()
        if room == ".":
            return [name for name in names if name in (*LEFT_OUT, "__pycache__")]
        return [name for name in names if name == "__pycache__"
                or (room in BY_TASK and (HERE / room / name).is_dir() and name not in needed)]

    return Path(shutil.copytree(HERE, folder / "restore_ml", ignore=ignored, copy_function=os.symlink))
