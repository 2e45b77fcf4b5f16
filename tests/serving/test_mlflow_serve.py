"""MLflow's own server and ours, asked the same, give the same picture."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from restore_ml.serving.restore_command import decode, from_base64, load_for, restore_picture
from restore_ml.tracking import store
from tests.serving.conftest import as_text, picture
from tests.tracking import small_project

SRC = Path(__file__).parents[2] / "src"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def running(command: list[str], environment: dict[str, str], port: int, log: Path) -> Iterator[subprocess.Popen]:
    """A server in a process group of its own, ready, and gone at the end."""
    with open(log, "wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT,
                                   start_new_session=True)
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2)
                break
            except OSError:
                time.sleep(0.2)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def ask(port: int, body: object) -> list[np.ndarray]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", json.dumps(body).encode(),
                                     {"Content-Type": "application/json; charset=utf-8"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return [decode(from_base64(row["image"], "image")) for row in json.load(reply)["predictions"]]


@pytest.mark.slow
def test_both_servers_give_the_same_pictures(tmp_path: Path) -> None:
    from restore_ml.promotion import champions
    from restore_ml.tracking.sync import sync

    root = small_project.build(tmp_path / "project", pictures=1)
    champions.install(root, "super_resolution", "vdsr", {"sentence": "vdsr leads", "data": "0"})
    sync(root)
    environment = {**os.environ, "RESTORE_ML_ROOT": str(root), "MLFLOW_TRACKING_URI": store.tracking_uri(root),
                   "PYTHONPATH": str(SRC), "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true",
                   "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    ports = free_port(), free_port()
    theirs = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/restore-super-resolution@champion",
              "--env-manager", "local", "--host", "127.0.0.1", "--port", str(ports[0])]
    ours = [sys.executable, "-m", "restore_ml.cli", "serve", "--task", "super_resolution", "--port", str(ports[1]),
            "--threads", "1"]
    rows = [{"image": as_text(picture(number)), "mask": None} for number in (1, 2)]
    bodies = [{"dataframe_records": rows, "params": {"scale": 3}},
              {"dataframe_split": {"columns": ["image"], "data": [[row["image"]] for row in rows]}},
              {"instances": [{"image": row["image"]} for row in rows]},
              {"inputs": {"image": [row["image"] for row in rows]}, "params": {"scale": 2, "seed": 3}}]
    with (running(theirs, environment, ports[0], tmp_path / "theirs.log"),
          running(ours, environment, ports[1], tmp_path / "ours.log") as process):
        for body in bodies:
            first, second = ask(ports[0], body), ask(ports[1], body)
            assert len(first) == 2
            for one, other in zip(first, second, strict=True):
                assert np.array_equal(one, other)
        _, method, model = load_for(root, "super_resolution", "champion")
        assert np.array_equal(second[0], restore_picture(method, model, picture(1)))
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(ports[1], {"instances": [{"image": "no"}]})
        assert refused.value.code == 422
        assert f"127.0.0.1:{ports[1]}" in (tmp_path / "ours.log").read_text()
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C
        assert process.wait(20) == 0
        assert "The server has ended." in (tmp_path / "ours.log").read_text()
