"""A stage on its way to a worker: the connection to its client is watched, and no longer than it is open."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines.machinery import jobs
from restore_ml.base.files import write_json

REQUEST = b'{"arguments": ["toy"], "folder": "/", "environment": {}}'


def served(root: Path, work: Any, leave: bool = False) -> bytes:
    """What `jobs._serve` answers to a client whose stage `work(job)` does; `leave`: the client goes away at once."""
    (root / jobs.FOLDER).mkdir(parents=True)
    client, connection = socket.socketpair()
    with client:
        socket.send_fds(client, [len(REQUEST).to_bytes(4, "big")], [0, 1, 2])
        client.sendall(REQUEST)
        if leave:
            client.shutdown(socket.SHUT_RDWR)
        jobs._serve(root, connection, lambda job: lambda: work(job))
        return b"" if leave else client.recv(100)


def finish(root: Path, job: dict[str, Any], status: int) -> None:
    """What a worker leaves of a stage."""
    write_json(root / jobs.FOLDER / f"{job['name']}.json", {"id": job["id"], "status": status})


def test_the_exit_status_of_the_worker_is_answered(tmp_path: Path) -> None:
    assert served(tmp_path, lambda job: finish(tmp_path, job, 2)) == b"2\n"
    assert not list(tmp_path.rglob("*.stop"))


def test_the_watch_ends_before_the_connection_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looking, ended, watched = threading.Event(), threading.Event(), []

    def look(connections: list[socket.socket], *_: Any) -> tuple[list[Any], list[Any], list[Any]]:
        looking.set()
        assert ended.wait(30)
        time.sleep(0.1)  # a slow look: the stage has ended meanwhile
        watched.extend(connection.fileno() for connection in connections)
        return [], [], []

    def work(job: dict[str, Any]) -> None:
        assert looking.wait(30)
        finish(tmp_path, job, 0)
        ended.set()

    monkeypatch.setattr(jobs.select, "select", look)
    assert served(tmp_path, work) == b"0\n"
    assert watched and min(watched) >= 0


def test_a_client_that_goes_away_stops_its_stage(tmp_path: Path) -> None:
    def work(job: dict[str, Any]) -> None:
        stop, end = tmp_path / jobs.FOLDER / f"{job['name']}.stop", time.monotonic() + 30
        while not stop.exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        stopped.append(job["name"])
        finish(tmp_path, job, 137)

    stopped: list[str] = []
    served(tmp_path, work, leave=True)
    assert stopped == ["toy"]
