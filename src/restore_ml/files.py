"""Files written whole or not at all, hashed, and never outside their folder."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from restore_ml.errors import TransientError, UserError

PART = ".part-"
"""How the names of unfinished files begin; .dvcignore leaves them out of every hash. The writer's process follows."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary neighbour of `path`, flush it to disk, then rename it into place.

    A reader sees the old file or the new one, never a part, whenever the process is killed; `sweep` takes away what a
    killed process left. A full disk is an `OSError` with ENOSPC that names `path`, whatever library met with it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f"{PART}{os.getpid()}-", suffix=f"-{path.name[-40:]}", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except Exception as error:
        if _is_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


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


def _is_full(error: BaseException) -> bool:
    """Whether a disk, a quota or a limit of file sizes was the reason; safetensors and SQLite say it in words alone."""
    words = ("no space left", "os error 28", "disk quota", "file too large", "os error 27", "disk is full")
    return getattr(error, "errno", None) in FULL or any(word in str(error).lower() for word in words)


def scarce(error: BaseException) -> bool:
    """Whether memory or disk was lacking: another time it may be there."""
    text = str(error).lower()
    return isinstance(error, MemoryError | TransientError) or "out of memory" in text or (
        "can't allocate memory" in text) or _is_full(error)


def lack(error: BaseException) -> str | None:
    """The sentence for an error of the disk that is no bug: it is full, or may not be written. None for others."""
    place = getattr(error, "filename", None)
    where = f" for {place}" if place else ""
    if isinstance(error, OSError) and _is_full(error):
        return f"There is no space left{where}; free some and start again. What was finished is kept."
    if isinstance(error, OSError) and error.errno in REFUSED:
        return (f"There is no permission{where} ({os.strerror(error.errno)}); let this user write there and start "
                "again. What was finished is kept.")
    return None


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename survives a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
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
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; `dvc repro` makes it.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:  # broken JSON or UTF-8, numbers of thousands of digits, depth
        raise UserError(f"{path} is not readable JSON ({error}); delete it and run `dvc repro`.") from None


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
