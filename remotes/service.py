"""What the start scripts share: a server in a session of its own, its record in the folder, and a command line."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.machinery.server import free_port
from restore_ml.base.errors import UserError

PROJECT = Path(__file__).resolve().parents[1]
RECORD, LOG = "service.json", "service.log"
Answer = Callable[[argparse.Namespace], str]


@dataclass(frozen=True)
class Record:
    """A server that was started: its process, its port on 127.0.0.1, and a word of its command line."""

    pid: int
    port: int
    word: str

    def runs(self) -> bool:
        """Whether that very process lives; a zombie's command line is empty, another program's has not the word."""
        try:
            return self.word.encode() in Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except OSError:
            return False


def record(folder: Path) -> Record | None:
    """What was started last in the folder, whether it still runs or not."""
    try:
        return Record(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def port_for(folder: Path, wanted: int) -> int:
    """The port asked for, else the one of last time (so that what was configured stays right), else a free one."""
    last = record(folder)
    return wanted or (last.port if last else 0) or free_port()


def start(folder: Path, command: list[str], port: int, word: str, environment: dict[str, str] | None = None) -> None:
    """Start the server and wait until its port answers; `UserError` with its last words when it ends instead."""
    if listens(port):
        raise UserError(f"Something listens on port {port} of 127.0.0.1 already; name another with --port.")
    with open(folder / LOG, "ab") as log:
        server = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  start_new_session=True)
    (folder / RECORD).write_text(json.dumps({"pid": server.pid, "port": port, "word": word}), encoding="utf-8")
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        if listens(port):
            return
        time.sleep(0.05)
    stop(folder)
    said = (folder / LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["nothing"]
    raise UserError(f"{Path(command[0]).name} did not start; its last words: {said[-1]} (all of them: {folder / LOG}).")


def stop(folder: Path) -> bool:
    """Stop what the folder's record names and wait for its end; returns whether it ran."""
    running = record(folder)
    if running is None or not running.runs():
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(running.pid, number)
        except ProcessLookupError:
            return True
        for _ in range(100):
            if not running.runs():
                return True
            time.sleep(0.05)
    return True


def status(folder: Path) -> str:
    """A sentence: whether it runs, and where."""
    running = record(folder)
    return f"running on 127.0.0.1:{running.port}" if running and running.runs() else "not running"


def listens(port: int) -> bool:
    """Whether something takes connections on this port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def private_folder(folder: Path) -> Path:
    """The folder, made if need be, for nobody else's eyes: keys and passwords lie in it."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def main(name: str, title: str, actions: dict[str, Answer], arguments: Sequence[str] | None = None) -> int:
    """`python -m remotes.<name> start|stop|status [FOLDER] [--port N]`; a user's mistake is a sentence and status 2."""
    parser = argparse.ArgumentParser(f"python -m remotes.{name}", description=title)
    parser.add_argument("action", choices=actions)
    parser.add_argument("folder", nargs="?", type=Path, default=PROJECT / ".remotes" / name, metavar="FOLDER",
                        help=f"where its keys, data and log lie (default: .remotes/{name})")
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1 (default: last time's, else a free one)")
    options = parser.parse_args(arguments)
    options.folder = options.folder.resolve()
    try:
        print(actions[options.action](options))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
