"""Ways to take from a process what it needs: room on the disk, memory, the right to write."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of that size at `folder`; the test is skipped where none may be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(folder)],
                             capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"No small file system can be mounted here ({mounted.stderr.strip()}).")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Write until nothing fits any more; returns the file that takes the room."""
    path = folder / "ballast"
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            continue
    return path


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size` bytes."""
    with _limit(resource.RLIMIT_FSIZE, size):
        yield


@contextlib.contextmanager
def more_memory(size: int) -> Iterator[None]:
    """This process gets at most `size` bytes of address space more than it has; the test is skipped elsewhere."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    except OSError:
        pytest.skip("This system does not say how much memory a process has.")
    with _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + size):
        yield


@contextlib.contextmanager
def _limit(kind: int, value: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


def obey_permissions() -> None:
    """For `subprocess.Popen(preexec_fn=...)`: what is started heeds permissions, also when it is root's."""
    if os.geteuid() == 0:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        if prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) or prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")


def heeds_permissions() -> bool:
    """Whether a process started so is really kept out of what it may not write."""
    done = subprocess.run(["sh", "-c", "folder=$(mktemp -d) && chmod 500 $folder && ! touch $folder/x 2>/dev/null"],
                          preexec_fn=obey_permissions, check=False)
    return done.returncode == 0
