"""The rebuild as a flow that Prefect's scheduler can start (prefect.yaml)."""

import subprocess
import sys

from prefect import flow

from restore_ml import layout


@flow(name="nightly", persist_result=False)
def nightly() -> None:
    """Rebuild what is stale in a process of its own; fails when the rebuild does."""
    subprocess.run([sys.executable, "-m", "flows.rebuild"], cwd=layout.root(), check=True)
