"""A stage of a parallel rebuild on its way to a worker: the worker's side, and the dispatcher on the rebuild's side.

DVC stays on one machine, in the lanes of the rebuild: it alone reads and writes dvc.lock, the cache and its locks
(which know processes of one machine only). What a stage's command has to do goes over a socket to the dispatcher, from
there through the task runner to a worker, and its exit status comes back.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipelines.machinery import slots
from pipelines.machinery.client import DISPATCH, PLAIN, with_parent
from pipelines.machinery.forkserver import listen, receive
from pipelines.machinery.progress import FILE
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, write_json

PATH = layout.STATE / "dispatch.sock"
"""Relative to the project, where the rebuild runs: the names of sockets may not be long."""
FOLDER = layout.STATE / "parallel"
"""What workers say: <stage>.log, and <stage>.json with the exit status."""
COMPUTES = ("train", "restore")
"""Stages that use a GPU where there is one."""
LOOK = 0.5
"""Seconds between two looks whether who asked for a stage went away."""
Submit = Callable[[dict[str, Any]], Callable[[], Any]]
"""Hands a job to the task runner; what it returns waits for the end, and raises when there is no worker."""


def run(job: dict[str, Any]) -> int:
    """On a worker: run the stage as a process of its own and return its exit status, which is left in a file too.

    The process ends with the worker, and when the file `<stage>.stop` appears: then who asked for it went away.
    """
    root, name = Path(job["root"]), job["name"]
    folder = root / FOLDER
    stop = folder / f"{name}.stop"
    environment = {**job["environment"], "RESTORE_ML_ROOT": str(root), FILE: str(folder / f"{name}.progress")}
    if socket.gethostname() != job["host"]:
        environment[PLAIN] = "1"  # the fork server is on the rebuild's machine
    begin = time.monotonic()
    with open(folder / f"{name}.log", "wb") as log, contextlib.ExitStack() as stack:
        try:
            environment |= stack.enter_context(slots.held(root, job["gpus"])) if job["gpus"] else {}
        except UserError as error:
            log.write(f"error: {error}\n".encode())
            status = 2
        else:
            status = _run(job["arguments"], root, environment, log, stop)
    write_json(folder / f"{name}.json", {"id": job["id"], "status": status, "host": socket.gethostname(),
                                         "pid": os.getpid(), "seconds": round(time.monotonic() - begin, 2)})
    return status


def _run(arguments: list[str], root: Path, environment: dict[str, str], log: Any, stop: Path) -> int:
    process = subprocess.Popen([sys.executable, "-m", "pipelines", *arguments], cwd=root, env=environment, stdout=log,
                               stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                               preexec_fn=with_parent())  # noqa: PLW1509
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(LOOK)
            return code if code >= 0 else 128 - code
        if stop.exists():
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def dispatching(root: Path, submit: Submit) -> Iterator[dict[str, str]]:
    """Take stages over the socket while the block runs; yields what the lanes need in their environment."""
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    path = root / PATH
    listener = listen(PATH, 64)
    threading.Thread(target=_accept, args=(root, listener, submit), daemon=True).start()
    try:
        yield {DISPATCH: str(PATH)}
    finally:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _accept(root: Path, listener: socket.socket, submit: Submit) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # the rebuild has ended
            return
        threading.Thread(target=_serve, args=(root, connection, submit), daemon=True).start()


def _serve(root: Path, connection: socket.socket, submit: Submit) -> None:
    """One stage: hand it over, wait for its end or for its client's, answer. Without an answer the client runs it."""
    with connection:
        try:
            connection.settimeout(5.0)
            message = receive(connection)
            for stream in message.streams:
                os.close(stream)
            job = make(root, message.arguments, message.environment)
            over = threading.Event()
            watch = threading.Thread(target=_watch, args=(connection, root / FOLDER / f"{job['name']}.stop", over),
                                     daemon=True)
            watch.start()
            try:
                submit(job)()
                answer = read_json(root / FOLDER / f"{job['name']}.json")
            finally:
                over.set()
                watch.join()  # it looks at the connection, which is closed below
            if answer["id"] == job["id"]:
                connection.sendall(f"{answer['status']}\n".encode())
        except Exception as error:  # the runner's own: the stage then runs in its own process, as without a runner
            print(f"A stage found no worker ({type(error).__name__}: {error}); it runs here.", file=sys.stderr)
            with contextlib.suppress(OSError):
                connection.sendall(b"refused\n")


def make(root: Path, arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """The job of a stage's command, as a worker gets it; what an earlier one of that name left is removed."""
    name = "@".join(arguments).replace("/", ".")
    for ending in ("json", "log", "stop", "progress"):
        (root / FOLDER / f"{name}.{ending}").unlink(missing_ok=True)
    gpus = 0
    if arguments[0] in COMPUTES:
        spec = root / layout.code(arguments[0], *arguments[-1].split("/"))
        gpus = int(read_json(spec).get("processes", 1)) if arguments[0] == "train" else 1
    return {"id": f"{os.getpid()}-{time.time_ns()}", "name": name, "arguments": arguments, "root": str(root),
            "host": socket.gethostname(), "gpus": gpus,
            "environment": {key: value for key, value in environment.items() if key != DISPATCH}}


def _watch(connection: socket.socket, stop: Path, over: threading.Event) -> None:
    """Leave the file that stops the worker when the stage's client goes away before the end."""
    while not over.wait(0.2):
        if select.select([connection], [], [], 0)[0]:
            if not over.is_set():
                stop.touch()
            return
