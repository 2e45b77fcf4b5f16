"""The shared view of an experiment in MLflow's own page: a server on loopback and a headless Chromium."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from restore_ml.tracking import door, store
from restore_ml.tracking.sync import sync
from tests.tracking import small_project

TASK = small_project.TASK
PATIENCE = 120
"""Seconds within which a page shows what is waited for; a busy machine takes some twenty."""


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Path:
    """Three runs of which one was trained anew, so that the store has a superseded one; asks for the browser first."""
    root = small_project.build(tmp_path_factory.mktemp("view") / "project")
    sync(root)
    small_project.add_run(root, "vdsr", "vdsr", {"layers": 3, "width": 4}, seed=2)
    small_project.rescore(root)
    assert f"{TASK}: run/vdsr" in sync(root).superseded
    return root


@pytest.fixture(scope="module")
def server(synced: Path) -> Iterator[str]:
    """The address of an MLflow server over that store."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
         "--artifacts-destination", str(store.artifacts(synced))], cwd=synced, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env={**os.environ, **store.ENVIRONMENT, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION":
                                        "false", "MLFLOW_BACKEND_STORE_URI": store.tracking_uri(synced)})
    try:
        until = time.monotonic() + PATIENCE
        while not answers(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None and time.monotonic() < until, "the server did not start"
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def test_the_link_opens_current_runs_best_first_with_their_figures(browser: Any, server: str, synced: Path) -> None:
    browser.get(f"{server}/health")  # MLflow opens its assistant once; as for a person who has closed it
    browser.execute_script("localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')")
    browser.get(door.runs_address(synced, server, TASK))
    script = """const cells = (row) => [...document.querySelectorAll(`.ag-row[row-index="${row}"] .ag-cell`)]
          .map((cell) => [cell.getAttribute('col-id'), (cell.querySelector('a') || cell).textContent.trim()]);
        return [0, 1, 2, 3].map(cells).filter((row) => row.length).map((row) => Object.fromEntries(row))"""
    until, rows = time.monotonic() + PATIENCE, []
    while time.monotonic() < until and not (len(rows) == 3 and all("tags.`rank`" in row for row in rows)):
        time.sleep(0.2)
        rows = browser.execute_script(script)
    table = pd.read_csv(synced / f"comparison/{TASK}/table.csv").sort_values("rank")
    assert [row["attributes.`Run Name`"] for row in rows] == list(table["run"]), "the superseded vdsr is out of sight"
    best, means = rows[0], table["psnr_y"].tolist()
    assert float(best["metrics.`psnr_y`"].rstrip("…")) == pytest.approx(means[0], abs=1e-3) and means[0] > means[1]
    assert best["tags.`rank`"].startswith("1, champion") or best["tags.`rank`"] == "1"
    assert best["tags.`interval`"] == f"[{table['psnr_y_low'].iloc[0]:.2f}, {table['psnr_y_high'].iloc[0]:.2f}]"
    assert best["metrics.`ms_per_megapixel`"] and best["metrics.`ssim_y`"], "guards and milliseconds"
    page = browser.find_element("tag name", "body").text
    assert "Model training" in page and "tags.state = 'current'" in browser.page_source
    assert "3 runs on the same test pictures" in page, "the experiment says what it is"
