"""Fuzzing what is served: in this process, and over a real socket to a real server."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore_ml.serving.engine import Engine
from restore_ml.serving.limits import Limits
from tests.faults import zoo
from tests.faults.mutation import Edit, bounded, damaged, edits
from tests.serving.conftest import add_model, as_text
from tests.serving.test_server import ask

IMAGES = [zoo.encoded(zoo.pixels(1)), zoo.encoded(zoo.pixels(2), "JPEG"), zoo.encoded(zoo.pixels(3), "TIFF"),
          zoo.sixteen(zoo.pixels(4), ".png"), zoo.encoded(zoo.pixels(5), "WEBP"), zoo.bomb(60_000, 60_000), b""]
HOLE = zoo.pixels(6)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with bicubic enlargement and Telea's inpainting."""
    folder = tmp_path_factory.mktemp("served")
    for run in ("bicubic", "telea"):
        add_model(folder, run)
    (folder / "params.yaml").write_text("profile: quick\n")
    return folder


@pytest.fixture(scope="module")
def engines(root: Path) -> dict[str, Engine]:
    limits = Limits(megabytes=0.2, megapixels=0.05, pictures=3, queue=3, seconds=5)
    return {task: Engine(root, task, run, limits, threads=1)
            for task, run in (("super_resolution", "bicubic"), ("inpainting", "telea"))}


files = st.tuples(st.integers(0, len(IMAGES) - 1), edits | st.just([])).map(
    lambda drawn: base64.b64encode(damaged(IMAGES[drawn[0]], drawn[1])).decode())
rows = st.fixed_dictionaries({}, optional={"image": files | st.none() | st.text(max_size=4),
                                           "mask": st.just(as_text(HOLE)) | files | st.integers()})
numbers = st.integers() | st.integers(-2, 18) | st.floats() | st.text(max_size=3) | st.none() | st.booleans()
bodies = st.fixed_dictionaries({"instances": st.lists(rows, max_size=4)}, optional={
    "params": st.fixed_dictionaries({}, optional={"scale": numbers, "seed": numbers, "sed": numbers})})


@bounded
@given(st.sampled_from(["super_resolution", "inpainting"]), bodies, edits | st.just([]), st.booleans())
def test_requests(engines: dict[str, Engine], task: str, body: Any, changes: list[Edit], table: bool) -> None:
    content = json.dumps(body).encode()
    if table:
        content = b"image,mask\n" + "\n".join(
            f"{row.get('image')},{row.get('mask')}" for row in body["instances"]).encode("utf-8", "surrogatepass")
    reply = ask(engines[task], content=damaged(content, changes) if changes else content,
                headers={"content-type": "text/csv" if table else "application/json"})
    assert reply.status_code == 200 or 400 <= reply.status_code < 500, reply.text
    assert reply.status_code == 200 or (list(reply.json()) == ["error"] and reply.json()["error"].endswith((".", "?")))
    assert "Traceback" not in reply.text and "/tmp" not in reply.text


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A real server and its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "restore_ml.cli", "serve", "--task", "super_resolution", "--model", "bicubic", "--port",
         "0", "--max-megabytes", "0.2", "--threads", "1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "RESTORE_ML_ROOT": str(root), "PYTHONUNBUFFERED": "1"})
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
            break
    else:
        pytest.fail(f"The server did not start: {said}")
    yield int(found[1]), process
    process.terminate()
    rest = process.communicate(timeout=60)[0]
    assert "Traceback" not in rest, rest


def exchange(port: int, data: bytes, patience: float = 0.2) -> bytes:
    """Send the bytes and read what comes until the end, or until nothing comes: the server waits for more."""
    parts: list[bytes] = []
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
        try:
            connection.sendall(data)
            while part := connection.recv(65536):
                parts.append(part)
        except (ConnectionError, TimeoutError):
            pass
    return b"".join(parts)


BODY = json.dumps({"instances": [{"image": as_text(zoo.pixels(1))}], "params": {"scale": 2}}).encode()
REQUEST = (b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
           + str(len(BODY)).encode() + b"\r\nConnection: close\r\n\r\n" + BODY)


def test_a_whole_request_is_answered(server: tuple[int, Any]) -> None:
    assert exchange(server[0], REQUEST, 60).startswith(b"HTTP/1.1 200")


def test_damaged_requests_over_a_socket(server: tuple[int, subprocess.Popen[str]]) -> None:
    """The bytes of a request, headers and all, damaged; between them the server still answers."""
    port, process = server

    @bounded
    @given(edits)
    def send(changes: list[Edit]) -> None:
        reply = exchange(port, damaged(REQUEST, changes))
        for status in re.findall(rb"HTTP/1\.1 (\d+)", reply):
            assert int(status) < 500, reply[:400]
        assert b"Traceback" not in reply and process.poll() is None

    send()
    assert b"200" in exchange(port, b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 60)
