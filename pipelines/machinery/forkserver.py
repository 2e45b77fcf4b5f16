"""The fork server: one process that has imported the heavy libraries and forks a child for each stage.

It preloads third-party packages only, so that the project's own sources are always read afresh, and runs nothing
itself: threads do not survive a fork. `running` starts one for the time of a rebuild. A stage forked here ends when its
client does (the server sees the connection close and kills the stage's process group), and when the server does.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.__main__ import THREADS
from pipelines.machinery.client import SOCKET, die_with_parent, with_parent

PRELOADED = ("torch", "torch._dynamo", "torch.utils.data", "torch.utils.flop_counter", "safetensors.torch", "numpy",
             "pyarrow.parquet", "PIL.Image", "ruamel.yaml", "tqdm", "prefect", "prefect.flow_engine",
             "prefect.task_engine", "prefect.artifacts", "prefect.client.orchestration",
             # What Prefect imports when a flow begins: 0.2 s of a stage.
             "prefect.utilities.visualization", "fastapi", "starlette.staticfiles", "pydantic.v1",
             "opentelemetry.metrics", "anyio._backends._asyncio", "encodings.idna", "http.cookies", "sqlite3",
             "pyarrow.pandas_compat")
PRELOADED_FOR = {"validate": ("pandas", "great_expectations", "great_expectations.expectations"),
                 "score": ("pandas", "cv2"), "champion": ("pandas", "cv2", "scipy.stats"),
                 "compare": ("pandas", "cv2", "scipy.stats")}
"""By stage, what is loaded when the first of its kind comes: a rebuild that has none does not wait for it."""
LIMIT = 4 << 20


@dataclass
class Job:
    """What a client asked for, in the process that was forked for it."""

    arguments: list[str]
    folder: str
    environment: dict[str, str]
    streams: list[int]


@dataclass
class Stage:
    """A stage that runs in a forked child: its process, a handle that tells when it ends, its client."""

    pid: int
    handle: int
    connection: socket.socket
    over: bool = False


@contextlib.contextmanager
def running(root: Path, seconds: float = 120.0) -> Iterator[bool]:
    """A fork server for the project `root` while the block runs; yields whether there is one.

    It ends with this process too. Where none can be started the stages run as plain processes.
    """
    path = root / SOCKET
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    server = subprocess.Popen([sys.executable, "-m", "pipelines.machinery.forkserver"], cwd=root,
                              stdin=subprocess.DEVNULL, preexec_fn=with_parent())  # noqa: PLW1509
    end = time.monotonic() + seconds
    while server.poll() is None and not path.exists() and time.monotonic() < end:
        time.sleep(0.05)
    try:
        yield server.poll() is None and path.exists()
    finally:
        path.unlink(missing_ok=True)
        server.terminate()
        server.wait()


def listen(path: Path, waiting: int) -> socket.socket:
    """A socket at `path` (relative: the names of sockets are short) that only this user may write to; at most `waiting`
    wait to be accepted. It appears there when it listens: who finds it can connect."""
    path.parent.mkdir(parents=True, exist_ok=True)
    deaf = path.with_name(f"{os.getpid()}.sock")
    deaf.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)  # nobody else may hand us work
    listener.bind(str(deaf))
    os.umask(mask)
    listener.listen(waiting)
    deaf.replace(path)
    return listener


def serve() -> Job:
    """Accept stages for ever; returns only in a forked child, with its job."""
    listener = listen(SOCKET, 16)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ, None)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                job = _accept(listener, selector)
                if job is not None:
                    return job
            else:
                _ended(key.data, key.fileobj is key.data.connection, selector)


def _accept(listener: socket.socket, selector: selectors.BaseSelector) -> Job | None:
    connection, _ = listener.accept()
    connection.settimeout(5.0)
    try:
        job = receive(connection)
    except (OSError, ValueError, KeyError, TypeError):
        connection.close()
        return None
    if any(job.environment.get(name) != os.environ.get(name) for name in THREADS):
        connection.sendall(b"refused\n")  # the libraries are already loaded with another number of threads
        pid = 0
    else:
        load(PRELOADED_FOR.get(next(iter(job.arguments), ""), ()))
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            selector.close()
            listener.close()
            connection.close()
            os.setpgid(0, 0)
            die_with_parent(server)
            return job
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
    for stream in job.streams:
        os.close(stream)
    if not pid:
        connection.close()
        return None
    connection.settimeout(None)
    stage = Stage(pid, os.pidfd_open(pid), connection)
    selector.register(stage.handle, selectors.EVENT_READ, stage)
    selector.register(connection, selectors.EVENT_READ, stage)
    return None


def load(names: Iterable[str]) -> None:
    """Import what is not there yet; a package that is not installed is left to the stage that needs it."""
    lacking = [name for name in names if name not in sys.modules]
    for name in lacking:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    if lacking:
        gc.collect()
        gc.freeze()


def receive(connection: socket.socket) -> Job:
    """Read a stage that a client hands over; `OSError` or `ValueError` for anything else."""
    head, streams, _, _ = socket.recv_fds(connection, 4, 3)
    size = int.from_bytes(head, "big")
    if len(head) != 4 or len(streams) != 3 or size > LIMIT:
        for stream in streams:
            os.close(stream)
        raise ValueError("not a job")
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ValueError("the client went away")
        data += piece
    return Job(**json.loads(data), streams=list(streams))


def _ended(stage: Stage, client_left: bool, selector: selectors.BaseSelector) -> None:
    """A stage is over, or its client went away: then the stage is killed with all that it started."""
    if stage.over:
        return
    stage.over = True
    if client_left:
        with contextlib.suppress(OSError):
            os.killpg(stage.pid, signal.SIGKILL)
    _, status = os.waitpid(stage.pid, 0)
    with contextlib.suppress(OSError):  # what a stage left behind must not outlive it
        os.killpg(stage.pid, signal.SIGKILL)
    selector.unregister(stage.handle)
    selector.unregister(stage.connection)
    code = os.waitstatus_to_exitcode(status)
    with contextlib.suppress(OSError):
        stage.connection.sendall(f"{code if code >= 0 else 128 - code}\n".encode())
    stage.connection.close()
    os.close(stage.handle)


def main() -> int:
    """Preload, serve, and in a forked child run the stage; returns the stage's exit status."""
    leaving: list[int] = []

    def leave() -> None:
        """Skip the interpreter's tidying, which takes long with so much loaded: the child's memory goes anyway."""
        if leaving:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(leaving[0])

    atexit.register(leave)  # first registered, so last called: Prefect has sent its events by then
    load(PRELOADED)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the rebuild that started this server ends it
    job = serve()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream, stream_file in enumerate(job.streams):
        os.dup2(stream_file, stream)
        os.close(stream_file)
    # Python's own remember whether the server's could seek: one that was a file fails as a pipe.
    sys.stdout, sys.stderr = (open(stream, "w", 1, old.encoding, old.errors, closefd=False)  # noqa: SIM115
                              for stream, old in ((1, sys.stdout), (2, sys.stderr)))
    os.chdir(job.folder)
    os.environ.clear()
    os.environ.update(job.environment)
    sys.argv = ["pipelines", *job.arguments]
    from pipelines.machinery.stage import run

    status = run(*job.arguments)
    leaving.append(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
