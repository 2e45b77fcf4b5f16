"""Files written whole or not at all, hashed, and never outside their folder."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from restore_ml.base.errors import TransientError, UserError, conflict, is_full

PART = ".part-"
"""How the names of unfinished files begin; .dvcignore leaves them out of every hash. The writer's process follows."""
UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.ENOTTY, errno.EBADF)
"""What disks say that cannot flush: some network disks."""


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary neighbour of `path` to fill; it is flushed to disk and renamed into place at the end.

    A reader sees the old file or the new one, never a part, whenever the process is killed; `sweep` takes away what a
    killed process left. The file has the permissions that the user's umask gives. A full disk is an `OSError` with
    ENOSPC that names `path`, whatever library met with it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _new_neighbour(path)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            _flush(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except Exception as error:
        if is_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        if isinstance(error, OSError) and error.filename == str(temporary) and error.errno is not None:
            raise type(error)(error.errno, os.strerror(error.errno), str(path)) from error  # the name a person knows
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill the file; see `whole`."""
    with whole(path) as temporary:
        write(temporary)


def copy_files(source: Path, target: Path, endings: tuple[str, ...]) -> None:
    """Copy a folder's own files of these endings, not those of its folders, into a new folder, each flushed to disk."""
    target.mkdir(parents=True)
    for path in sorted(source.glob("*")):
        if path.suffix in endings:
            shutil.copyfile(path, target / path.name)
            with open(target / path.name, "rb+") as file:
                _flush(file.fileno())


def _new_neighbour(path: Path) -> Path:
    """A new empty file beside `path`, made as any program makes files: some disks refuse to change permissions later.

    `tempfile` would make it readable by its owner alone.
    """
    while True:
        name = path.with_name(f"{PART}{os.getpid()}-{secrets.token_hex(4)}-{path.name[-40:]}")
        try:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666))
        except FileExistsError:
            continue
        except OSError as error:
            raise type(error)(error.errno, os.strerror(error.errno or 0), str(path)) from None
        return name


def _flush(handle: int) -> None:
    """fsync, where the disk has it."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def sweep(folders: Iterable[Path], below: bool = True) -> list[Path]:
    """Delete the unfinished files in `folders`, and `below` them, whose writers are gone; returns them.

    Processes are told by their number, so a file of another machine's process may stay until that number is free.
    """
    swept = []
    for folder in folders:
        for path in sorted((folder.rglob if below else folder.glob)(f"{PART}*")):
            writer = re.match(rf"{re.escape(PART)}(\d+)-", path.name)
            if writer and not _lives(int(writer[1])) and path.is_file():
                path.unlink(missing_ok=True)
                swept.append(path)
    return swept


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def scarce(error: BaseException) -> bool:
    """Whether memory or disk was lacking: another time it may be there."""
    text = str(error).lower()
    return isinstance(error, MemoryError | TransientError) or "out of memory" in text or (
        "can't allocate memory" in text) or is_full(error)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename survives a loss of power; nothing where the disk cannot do that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder that may be written and not listed
        return
    try:
        _flush(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    def fill(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_whole(path, fill)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and one layout: equal values give equal bytes. NaN and infinity are refused."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write canonical JSON whole or not at all."""
    write_text(path, canonical_json(value))


def read_json(path: Path) -> Any:
    """Read a JSON file; a missing or broken one is a `UserError` that names it."""
    text = ""
    try:
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; `dvc repro` makes it.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:  # broken JSON or UTF-8, numbers of thousands of digits, depth
        raise UserError(conflict(path, text) or
                        f"{path} is not readable JSON ({error}); delete it and run `dvc repro`.") from None


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes in hexadecimal, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def inside(folder: Path, name: str) -> Path:
    """`folder / name`, refused when it would leave `folder` (through `..`, an absolute path or a link)."""
    root = folder.resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise UserError(f"The path {name!r} leads out of {folder}; give a name inside it.")
    return path
