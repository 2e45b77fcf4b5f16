"""`make ui`: MLflow, Prefect and the gallery on loopback, until Ctrl-C."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from pipelines.machinery import server
from restore_ml.base import addresses, layout
from restore_ml.base.errors import prepare_screen, report

MLFLOW_PORT = 5081


def main() -> int:
    """Bring MLflow up to date, start both, print where they are, and wait; returns the exit status."""
    prepare_screen()
    try:
        return _show(layout.project().resolve())
    except (Exception, KeyboardInterrupt) as error:
        return report(error, "make ui")


def _show(root: Path) -> int:
    from restore_ml.tracking import door, store
    from restore_ml.tracking.sync import sync

    port = _port()
    print(sync(root))
    door.serve(root, f"http://127.0.0.1:{port}")
    url = server.start(root)
    mlflow = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
         "--artifacts-destination", str(store.artifacts(root))],
        # In the environment: the store's address may hold a password, and command lines are for everybody to read.
        cwd=root, env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                                    "MLFLOW_BACKEND_STORE_URI": store.tracking_uri(root)})
    print("\n".join(_places(url)))
    try:
        while mlflow.poll() is None:
            time.sleep(0.5)
    except KeyboardInterrupt:
        mlflow.terminate()
    return mlflow.wait()


def _port() -> int:
    """MLflow's usual port, so that what a person has set up and closed on its pages stays so; another where it is
    taken. Links do not need it: they lead to `addresses.UI`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", MLFLOW_PORT))
        except OSError:
            return server.free_port()
    return MLFLOW_PORT


def _places(prefect: str | None) -> list[str]:
    """Where to look: the gallery, and each task's runs in MLflow, best first."""
    from restore_ml.registry import tables

    width = max(len(task) for task in tables()) + 2
    lines = [f"{'Gallery':{width}}{addresses.UI}/"]
    lines += [f"{task:{width}}{addresses.UI}/mlflow/{task}" for task in tables()]
    lines += [f"{'Prefect':{width}}{prefect.removesuffix('/api')}"] if prefect else []
    return ["The runs of each task in MLflow, best first; MLflow needs some ten seconds to start:", *lines,
            "Ctrl-C ends MLflow and the gallery; Prefect goes on."]


if __name__ == "__main__":
    sys.exit(main())
