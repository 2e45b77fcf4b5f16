"""What ends a command and how a person is told: the one place that decides for the command line, flows and stages.

A mistake of a person, a disk that is full or closed, a lack of memory and another program that refuses end in a
sentence with what to do. Everything else is a bug of ours: its stack trace is shown, it is said that it is one, and
the trace is kept in a file.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

MISTAKE, BUG, INTERRUPTED, TERMINATED = 2, 1, 130, 143
"""Exit statuses: a person, a disk or another program; a bug of ours; Ctrl-C; TERM."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
ADVICE = {
    errno.EISDIR: "is a folder; name a file",
    errno.ENOTDIR: "lies below something that is a file, not a folder; name another place",
    errno.ENAMETOOLONG: "has a name that is too long for this disk; give a shorter one",
    errno.ELOOP: "is a link that leads round in a circle; mend the link",
    errno.EIO: "cannot be read or written: the disk reports an error; look at the disk",
    errno.ESTALE: "is on a network disk that has gone away; connect it again",
    errno.ENXIO: "is no plain file; name a file",
    errno.ENOTEMPTY: "is a folder that is not empty; move it away",
    errno.EMFILE: "cannot be opened: this process has too many files open; raise `ulimit -n`",
    errno.ENFILE: "cannot be opened: the system has too many files open; end other programs",
    errno.ETXTBSY: "is in use by another program; end that program",
    errno.EBUSY: "is in use by another program; end that program",
}
"""What is wrong with the path of an `OSError`, and what to do."""
OTHERS = {
    "mlflow": ("MLflow", "look at its store (`restore-ml sync` fills it again) and start again"),
    "sqlalchemy": ("The database of MLflow", "look at it and start again; `restore-ml sync` fills it again"),
    "psycopg2": ("PostgreSQL", "look at it and start again"),
    "sqlite3": ("SQLite", "look at the file and its disk and start again"),
    "pyarrow": ("A file of results could not be read: Arrow", "`dvc checkout` brings back what was built, `dvc repro` "
                "builds it again"),
    "safetensors_rust": ("A file of weights could not be read: safetensors", "`dvc checkout` brings back what was "
                         "built, `dvc repro` builds it again"),
}
"""Libraries whose errors are about files and servers rather than about our code: a name, and what to do. What led to
such an error is kept as well."""
KEPT = Path(".state") / "bugs"
"""Where stack traces are kept, below the project."""


class UserError(Exception):
    """What was wrong, where, and what to do, in a sentence. Commands print it and exit with 2."""


class SettingError(UserError):
    """A setting, or several together, that a method cannot work with."""


class TransientError(Exception):
    """A run could not finish for want of memory or disk; the next rebuild tries it again."""


class Terminated(BaseException):
    """The process was asked to end by TERM (`heeding_termination`)."""


def shown(value: object) -> str:
    """A value in a sentence."""
    return short(repr(value))


def short(text: str, most: int = 80) -> str:
    """A text in a sentence: at most so many characters."""
    return text if len(text) <= most else f"{text[:most - 3]}..."


def conflict(path: Path, text: str) -> str | None:
    """The sentence for a text file in which git left a merge conflict; None for others."""
    if re.search(r"^<{7} ", text, re.MULTILINE) and re.search(r"^={7}$", text, re.MULTILINE):
        return (f"{path} holds a merge conflict (lines of <<<<<<< and >>>>>>>). Take one side with `git checkout "
                f"--ours {path.name}` or --theirs, or mend it by hand, then start again.")
    return None


def is_full(error: BaseException) -> bool:
    """Whether a disk, a quota or a limit of file sizes was the reason; safetensors and SQLite say it in words alone."""
    words = ("no space left", "os error 28", "disk quota", "file too large", "os error 27", "disk is full")
    return getattr(error, "errno", None) in FULL or any(word in str(error).lower() for word in words)


def lack(error: BaseException) -> str | None:
    """The sentence for an error of the disk that is no bug: it is full, or may not be written. None for others."""
    path = getattr(error, "filename", None)
    where = f" for {_path(path)}" if path else ""
    if isinstance(error, OSError) and is_full(error):
        return f"There is no space left{where}; free some and start again. What was finished is kept."
    if isinstance(error, OSError) and error.errno in REFUSED:
        return (f"There is no permission{where} ({os.strerror(error.errno)}); let this user write there and start "
                "again. What was finished is kept.")
    return None


def sentence(error: BaseException) -> str | None:
    """What a person is told of an error that is no bug of ours; None for a bug."""
    if isinstance(error, UserError | TransientError):
        return str(error)
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower() or (
            "can't allocate memory" in str(error).lower()):
        return "The memory does not suffice; end other programs, or take a smaller picture, batch or patch."
    if isinstance(error, OSError):
        return lack(error) or _of_system(error)
    return _of_others(error)


def _of_system(error: OSError) -> str | None:
    """Errors of the system that name a path or an address. A file that is not there may be a bug, so it counts as one
    unless it lies outside the project, where only a person can have named it."""
    path = getattr(error, "filename2", None) or getattr(error, "filename", None)
    if isinstance(error, FileNotFoundError):
        outside = isinstance(path, str | bytes | os.PathLike) and not _in_project(Path(os.fsdecode(path)))
        return f"There is no {_path(path)}; give the path of something that is there." if outside else None
    if error.errno in ADVICE:
        return f"{_path(path) if path is not None else 'A file'} {ADVICE[error.errno]}."
    if path is not None and error.errno is not None:
        return f"{_path(path)} cannot be used ({os.strerror(error.errno)}); look at it and start again."
    if isinstance(error, ConnectionError | TimeoutError) and not isinstance(error, BrokenPipeError):
        return f"A connection failed ({error.strerror or error}); see whether the other side runs and start again."
    return None


def _in_project(path: Path) -> bool:
    root = _project()
    return root is not None and path.resolve().is_relative_to(root)


def _of_others(error: BaseException) -> str | None:
    """Errors of the libraries of `OTHERS`."""
    name, advice = OTHERS.get(type(error).__module__.partition(".")[0], ("", ""))
    first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return f"{name} refused ({short(first.strip(), 300)}); {advice}." if name else None


def _path(path: object) -> str:
    return os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else f"the open file {path}"


def report(error: BaseException, command: str) -> int:
    """Say on standard error what ended `command` and give the exit status for it; the trace of a bug is kept."""
    import traceback  # what only errors need costs every start otherwise

    if isinstance(error, KeyboardInterrupt):
        print("Interrupted; the next start goes on from here.", file=sys.stderr)
        return INTERRUPTED
    if isinstance(error, Terminated):
        print("Ended by the signal TERM; the next start goes on from here.", file=sys.stderr)
        return TERMINATED
    told = sentence(error)
    trace = "".join(traceback.format_exception(error))
    if told is None:
        return report_bug(trace, command)
    kept = keep(trace, command) if _of_others(error) or type(error) is OSError else None
    print(f"error: {told}{f' What led to it is kept in {kept}.' if kept else ''}", file=sys.stderr)
    return MISTAKE


def report_bug(trace: str, command: str) -> int:
    """Show the stack trace of a bug, say that it is one and where the trace is kept; gives the exit status."""
    kept = keep(trace, command)
    last = short((trace.strip().splitlines() or ["no word"])[-1], 200)
    where = f"kept in {kept}; send that file" if kept else "above; send it"
    print(f"{trace}error: This is a bug of restore-ml, no mistake of yours: {last}\n"
          f"What led to it is {where} along when you report it.", file=sys.stderr)
    return BUG


def keep(trace: str, command: str) -> Path | None:
    """Write a stack trace to a new file of the project; its path, or None where that cannot be done."""
    root = _project()
    if root is None:
        return None
    import datetime
    import platform

    now = datetime.datetime.now().astimezone()
    path = root / KEPT / f"{now:%Y%m%d-%H%M%S}-{os.getpid()}.txt"
    machine = f"Python {platform.python_version()}, {platform.platform()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{now.isoformat(timespec='seconds')}\n{command}\n{machine}\n\n{trace}\n")
    except OSError:
        return None
    return path


def _project() -> Path | None:
    from restore_ml.base import layout

    try:
        root = layout.root().resolve()
    except (UserError, OSError):
        return None
    return root if (root / "params.yaml").is_file() else None


def prepare_screen() -> None:
    """Keep the screen for our own words: what the terminal's encoding lacks is shown as an escape instead of failing,
    and OpenCV keeps its warnings about odd files to itself (they are refused with a reason). Call it first."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def heeding_termination() -> Iterator[None]:
    """While the block runs TERM raises `Terminated` in it, so that what runs is ended in order and a word is said.

    In another thread than the main one nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what follows is tidying
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
