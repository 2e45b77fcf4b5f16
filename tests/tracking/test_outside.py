"""A run of kind `outside` in MLflow: with its figures, and without a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore_ml.tracking import store
from restore_ml.tracking.sync import sync
from tests.graphs import edit_runs
from tests.outside.test_run import bring, rebuild


def test_mlflow_shows_it_and_registers_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTORE_ML_ROOT", str(project))
    bring(project)
    rebuild(project)
    edit_runs(project, "super_resolution", vdsr=None, broken=None)
    sync(project)
    client = store.client(project)
    experiment = client.get_experiment_by_name("restore-super-resolution")
    runs = {run.data.tags.get("run"): run for run in client.search_runs([experiment.experiment_id])}
    theirs = runs["theirs"]
    assert theirs.info.status == "FINISHED" and theirs.data.tags["status"] == "outside"
    assert theirs.data.metrics["psnr_y"] == runs["bicubic"].data.metrics["psnr_y"]
    assert "outputs of another tool" in theirs.data.tags["mlflow.note.content"]
    versions = client.search_model_versions("name='restore-super-resolution'")
    assert [version.tags["run"] for version in versions] == ["bicubic"]
