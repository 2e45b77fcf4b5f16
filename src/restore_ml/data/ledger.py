"""What earlier rebuilds made, remembered in .state: a file that has not changed is not worked on again.

A ledger is one SQLite file for each stage and task. An entry says of a file how large it was, when it was changed and
its inode (what DVC itself goes by), what it was made from (`key`), and what was found or made (`value`, and raw bytes).
It holds for the code, settings and libraries that it was written with, its `maker`, and for nothing else.

A ledger is a cache: without it, or with a broken, locked or read-only one, the same bytes are made, only later. An
entry is believed exactly as far as DVC believes that a file of the same size, time and inode is the same.

DVC deletes the outputs of a stage before it runs it; those that a ledger vouches for are marked `persist: true` in
dvc.yaml, so that the stage finds them, keeps what is right, and takes away everything else (`keep_only`). A second copy
in .state was the other way: hard links make DVC copy all outputs anew (it takes them for links into its cache), and
real copies cost the disk twice and time for every picture. The price of `persist` is DVC's run cache for these stages.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sqlite3
import stat
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from restore_ml.base import layout
from restore_ml.base.files import canonical_json, sha256, sha256_of_file

LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "pyarrow", "safetensors", "scipy")
"""Whose versions may change the bytes that are made."""
ABSENT = (-1, -1, -1)
PATIENCE = 5.0
"""Seconds to wait for another process that writes to the same ledger."""

FORMAT = 2
"""Of the table: entries of another one are forgotten."""

Mark = tuple[int, int, int]
"""Size, time of change in nanoseconds and inode of a plain file; ABSENT where there is none."""


def mark(file: Path) -> Mark | None:
    """The mark of a plain file, or of a folder of such files; None for a link or anything else that may change without
    a trace."""
    try:
        details = os.lstat(file)
    except FileNotFoundError:
        return ABSENT
    except OSError:
        return None
    if stat.S_ISDIR(details.st_mode):
        return _mark_of_folder(file)
    return (details.st_size, details.st_mtime_ns, details.st_ino) if stat.S_ISREG(details.st_mode) else None


def _mark_of_folder(folder: Path) -> Mark | None:
    """All sizes, the last change, and a hash of names, sizes, times and inodes instead of an inode."""
    marks = {path.relative_to(folder).as_posix(): None if path.is_symlink() else mark(path)
             for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir()}
    if not marks or None in marks.values():
        return None
    sizes, times, _ = zip(*(state for state in marks.values() if state is not None), strict=True)
    return sum(sizes), max(times), int(sha256(canonical_json(marks).encode())[:15], 16)


def keep_only(folder: Path, wanted: Iterable[Path]) -> None:
    """Delete every file below `folder` that is not wanted (earlier results, what a killed process left), then folders
    that are empty."""
    keep = set(wanted)
    for directory, _, names in os.walk(folder, topdown=False):
        for path in (Path(directory) / name for name in names):
            if path not in keep:
                path.unlink()
        if Path(directory) != folder:
            with contextlib.suppress(OSError):  # not empty
                os.rmdir(directory)


class Ledger:
    """The ledger in the file `path`, for work of `maker` (anything that `canonical_json` takes); None: an empty one."""

    def __init__(self, path: Path | None = None, maker: Any = None) -> None:
        self._database: sqlite3.Connection | None = None
        if path is not None:
            text = sha256(canonical_json({"maker": maker, "libraries": _libraries(), "format": FORMAT}).encode())
            for last in (False, True):
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    self._database = _opened(path, text)
                    return
                except sqlite3.OperationalError:  # locked, read-only, no space
                    return
                except (sqlite3.DatabaseError, OSError):
                    if last:
                        return
                    with contextlib.suppress(OSError):
                        path.unlink(missing_ok=True)

    @classmethod
    def of_stage(cls, root: Path, name: str, maker: Any) -> Ledger:
        """The ledger of a stage (`prepare`, `degrade-inpainting`) of the project at `root`."""
        return cls(root / layout.STATE / "made" / f"{name}.sqlite", maker)

    @property
    def on(self) -> bool:
        """Whether anything is remembered."""
        return self._database is not None

    def get(self, file: Path, key: str | None = "", part: str = "") -> str | None:
        """The value put for `file`, or for a `part` of it, if it is still that file and was made from `key` (None: from
        anything)."""
        row = self._row("SELECT size, changed, inode, key, value FROM made WHERE file = ? AND part = ?", file, part)
        if row is None or (key is not None and row[3] != key) or mark(file) != tuple(row[:3]):
            return None
        return str(row[4])

    def raw(self, file: Path, part: str = "") -> bytes:
        """The bytes put for `file` or a part of it; call it after `get`."""
        row = self._row("SELECT raw FROM made WHERE file = ? AND part = ?", file, part)
        return bytes(row[0]) if row else b""

    def put(self, file: Path, value: str, key: str = "", raw: bytes = b"", seen: Mark | None = None,
            part: str = "") -> None:
        """Remember `value` for the file (or a part of it) as it is now, or as it was when its mark was `seen`."""
        seen = seen or mark(file)
        if seen is not None:
            self._do("INSERT OR REPLACE INTO made VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                     (str(file), part, *seen, key, value, raw))

    def digest(self, file: Path) -> str:
        """SHA-256 of a file's bytes, read only where it has changed."""
        stored = self.get(file, "digest")
        if stored is None:
            seen = mark(file)
            stored = sha256_of_file(file)
            self.put(file, stored, "digest", seen=seen)
        return stored

    def prune(self, folder: Path, files: Iterable[Path]) -> None:
        """Forget the files below `folder` that are not among `files`."""
        wanted, below = {str(file) for file in files}, f"{folder}{os.sep}"
        try:
            if self._database is not None:
                stored = self._database.execute("SELECT DISTINCT file FROM made").fetchall()
                gone = [(file,) for file, in stored if file.startswith(below) and file not in wanted]
                self._database.executemany("DELETE FROM made WHERE file = ?", gone)
        except sqlite3.Error:
            self._database = None

    def save(self) -> None:
        """Make what was put last beyond this process."""
        try:
            if self._database is not None:
                self._database.commit()
        except sqlite3.Error:
            self._database = None

    def _row(self, question: str, file: Path, part: str) -> tuple[Any, ...] | None:
        answer = self._do(question, (str(file), part))
        try:
            return None if answer is None else answer.fetchone()
        except sqlite3.Error:
            self._database = None
            return None

    def _do(self, statement: str, values: tuple[Any, ...]) -> sqlite3.Cursor | None:
        try:
            return None if self._database is None else self._database.execute(statement, values)
        except (sqlite3.Error, UnicodeError):
            self._database = None
            return None


def _opened(path: Path, maker: str) -> sqlite3.Connection:
    """The database, emptied where another maker wrote it."""
    database = sqlite3.connect(path, timeout=PATIENCE)
    try:
        database.execute("CREATE TABLE IF NOT EXISTS maker (text TEXT)")
        if database.execute("SELECT text FROM maker").fetchall() != [(maker,)]:
            database.execute("DROP TABLE IF EXISTS made")
            database.execute("DELETE FROM maker")
            database.execute("INSERT INTO maker VALUES (?)", (maker,))
        database.execute("CREATE TABLE IF NOT EXISTS made (file TEXT, part TEXT, size INTEGER, changed INTEGER, "
                         "inode INTEGER, key TEXT, value TEXT, raw BLOB, PRIMARY KEY (file, part))")
        database.commit()
    except BaseException:
        database.close()
        raise
    return database


@lru_cache(maxsize=1)
def _libraries() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES} | {"python": platform.python_version(),
                                                          "machine": platform.machine()}
