"""`make ui`: MLflow and Prefect on loopback, until Ctrl-C."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from pipelines.machinery import server
from restore_ml import layout
from restore_ml.errors import UserError


def main() -> int:
    """Bring MLflow up to date, start both, print where they are, and wait."""
    from restore_ml.tracking import store
    from restore_ml.tracking.sync import sync

    root = layout.root().resolve()
    try:
        print(sync(root))
        url = server.start(root)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    port = server.free_port()
    mlflow = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
         "--artifacts-destination", str(store.artifacts(root))],
        # In the environment: the store's address may hold a password, and command lines are for everybody to read.
        cwd=root, env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                                    "MLFLOW_BACKEND_STORE_URI": store.tracking_uri(root)})
    print(f"MLflow    http://127.0.0.1:{port}")
    if url:
        print(f"Prefect   {url.removesuffix('/api')}")
    print(f"Gallery   {root / layout.REPORTS / 'gallery' / 'index.html'}\nCtrl-C ends MLflow; Prefect goes on.")
    try:
        while mlflow.poll() is None:
            time.sleep(0.5)
    except KeyboardInterrupt:
        mlflow.terminate()
    return mlflow.wait()


if __name__ == "__main__":
    sys.exit(main())
