"""Hands a stage to the fork server; standard library only."""

import ctypes
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

SOCKET = Path(".state") / "forkserver.sock"
"""Relative to the project, where stages run: the names of sockets may not be long."""
PR_SET_PDEATHSIG = 1
SHELLS = ("sh", "dash", "ash", "bash", "ksh", "mksh", "zsh", "fish")
PLAIN = "RESTORE_ML_PLAIN"
"""When this is in the environment, stages do not look for the fork server."""
DISPATCH = "RESTORE_ML_DISPATCH"
"""In the environment of a parallel rebuild's stages: the socket of its dispatcher, which has a worker run the stage."""


REBUILD = "RESTORE_ML_REBUILD"
"""In the environment of a rebuild's stages: the mark of the rebuild's process."""


def die_with_parent(parent: int = 0) -> None:
    """Have the system kill this process when the process that forked it ends (Linux; elsewhere nothing happens).

    `parent`: its number, where the caller knows it; this process ends at once when that one has ended already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent and os.getppid() != parent:
        os._exit(1)


def with_parent() -> Callable[[], None]:
    """`die_with_parent` for `subprocess.Popen(preexec_fn=...)`: it only makes system calls between fork and exec."""
    return partial(die_with_parent, os.getpid())


def dvc_behind_shell() -> int | None:
    """A handle that tells when DVC ends, where a shell stands between it and this stage; else None.

    DVC runs a command with $SHELL, and some shells (dash, fish) stay and wait: they outlive a killed DVC, and with them
    the stage would.
    """
    if "DVC_STAGE" not in os.environ or not hasattr(os, "pidfd_open"):
        return None
    try:
        with open(f"/proc/{os.getppid()}/stat", encoding="utf-8") as file:
            name, _, rest = file.read().partition("(")[2].rpartition(")")
        parent = int(rest.split()[1])
        return os.pidfd_open(parent) if name in SHELLS and parent > 1 else None
    except OSError:
        return None


def work_watched(work: Callable[[], int], dvc: int) -> int:
    """`work()` in a forked child that ends when the process with the handle `dvc` does; its exit status."""
    watcher = os.getpid()
    pid = os.fork()
    if pid == 0:
        die_with_parent(watcher)
        return work()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the child has it too, and this process waits for its end
    child = os.pidfd_open(pid)
    if child not in select.select([child, dvc], [], [])[0]:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def process_mark(pid: int = 0) -> str:
    """Stands for a process (this one): the machine, its number, and when it started, for numbers are used again."""
    pid = pid or os.getpid()
    return f"{_where()} {pid} {_started(pid)}"


def ended(process: str) -> bool:
    """Whether the process with that mark ran on this machine and has ended; False for what is no mark."""
    host, _, rest = process.partition(" ")
    pid, _, started = rest.partition(" ")
    if host != _where() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return _started(int(pid)) != started


def _where() -> str:
    """The machine, or the container on it, within which a number stands for one process."""
    try:
        return socket.gethostname() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> str:
    """The clock tick at which a process started; nothing where the system does not say, or it is a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def run_elsewhere(arguments: list[str], dvc: int | None = None) -> int | None:
    """The exit status of the stage run by the fork server; None when this process must run it itself.

    The stage gets this process's folder, environment and standard streams, and ends when this process does, which
    ends with the process of the handle `dvc`.
    """
    path = os.environ.get(DISPATCH) or str(SOCKET)
    if os.environ.get(PLAIN) or not os.path.exists(path):
        return None
    job = json.dumps({"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}).encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(path)
            socket.send_fds(connection, [len(job).to_bytes(4, "big")], [0, 1, 2])
            connection.sendall(job)
            if dvc is not None and connection.fileno() not in select.select([connection.fileno(), dvc], [], [])[0]:
                os._exit(1)
            answer = connection.makefile("rb").readline()
        except OSError:
            answer = b""
    if answer.strip() in (b"", b"refused"):
        if not answer:
            print("The fork server is gone; this stage runs without it.", file=sys.stderr)
        return None
    return int(answer)
