"""The files of an inbox: whether one still grows, how it leaves the inbox, and the quarantine.

Nothing here is ever overwritten, and a file is deleted only as it was when it was copied.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from restore_ml.base.files import write_text
from restore_ml.data.copying import printable

QUARANTINE = ".quarantine"
PARTIAL = (".part", ".partial", ".crdownload", ".download", ".filepart", ".tmp", ".swp", "~")
"""Endings that programs give to files which they are still writing."""
LONGEST = 220
"""Bytes of a name in the quarantine, where that of the text file beside it is longer."""
TAKEN = ".taken-"
"""How the names of files begin that are being deleted from the inbox."""

State = tuple[int, int, int]
"""Size, time of change and inode of a file: another version of it has another state."""


def states(inbox: Path, names: Iterable[str]) -> dict[str, State]:
    """The state of every file that is still there, by name."""
    sizes = {}
    for name in names:
        with contextlib.suppress(OSError):  # it went away
            sizes[name] = _state(inbox / name)
    return sizes


def _state(path: Path) -> State:
    stat = path.lstat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def delete(path: Path, state: State) -> bool:
    """Delete a file if it is still the one with that state; it is looked at under a name that nobody writes to."""
    hidden = path.with_name(TAKEN + os.fsdecode(os.fsencode(path.name)[-LONGEST:]))
    try:
        if _state(path) != state:
            return False
        os.rename(path, hidden)
    except FileNotFoundError:
        return True
    if _state(hidden) == state:
        hidden.unlink()
        return True
    _restore(hidden, path)
    return False


def _restore(hidden: Path, path: Path) -> None:
    """Give a file its name again, or a free one beside it: nothing is overwritten."""
    target, number = path, 1
    while os.path.lexists(target):
        number += 1
        target = path.with_name(f"{path.stem}_{number}{path.suffix}")
    os.rename(hidden, target)


def put_back(inbox: Path) -> None:
    """Files that a round was about to delete when it was killed come back; their copies are known by their bytes."""
    for hidden in inbox.rglob(f"{TAKEN}*"):
        _restore(hidden, hidden.with_name(hidden.name.removeprefix(TAKEN)))


def partial(name: str) -> bool:
    """Whether the name says that a program is still writing the file."""
    return name.lower().endswith(PARTIAL)


def quarantine(inbox: Path, name: str, reason: str, files: Iterable[str] = ()) -> Path:
    """Move a file or folder to the inbox's quarantine, the reason beside it; nothing there is ever overwritten.

    A record that is neither, but `files` beside each other, becomes a folder of them.
    """
    folder = inbox / QUARANTINE
    folder.mkdir(exist_ok=True)
    flat = printable(name).replace("/", "__")
    flat = flat.encode()[-LONGEST:].decode(errors="ignore")  # the end of it, which tells the kind of file
    target, number = folder / flat, 1
    while os.path.lexists(target):
        number += 1
        target = folder / f"{number}_{flat}"
    write_text(folder / f"{target.name}.reason.txt", f"{printable(name)}: {reason}\n")
    if os.path.lexists(inbox / name):
        os.replace(inbox / name, target)
        return target
    target.mkdir()
    for file in files:
        os.replace(inbox / file, target / PurePosixPath(file).name)
    return target
