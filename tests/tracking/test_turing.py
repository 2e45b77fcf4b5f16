from pathlib import Path

import pytest

from restore_ml.base.files import read_json, sha256
from restore_ml.report.turing import report
from restore_ml.tracking import store
from restore_ml.tracking.sync import sync
from restore_ml.tracking.turing import log
from tests.report.conftest import answers, saved
from tests.tracking import small_project

NAME = "restore-super-resolution"


def test_the_same_answers_change_nothing_and_new_ones_replace_the_old(tmp_path: Path) -> None:
    small_project.settings_of(tmp_path)
    paths = saved(tmp_path / "in", answers("aaaaaaaa"), answers("bbbbbbbb", rater="x"))
    made = report(tmp_path, paths)[0]
    assert "Written to MLflow" in log(tmp_path, made)
    client = store.client(tmp_path)
    experiment = client.get_experiment_by_name(NAME).experiment_id

    def runs() -> list:
        return client.search_runs([experiment], "tags.entry = 'turing'", order_by=["attributes.start_time"])

    run = runs()[0]
    assert run.info.run_name == "turing" and run.info.status == "FINISHED"
    row = made.table.iloc[0]
    assert run.data.metrics == pytest.approx({
        "turing_fool_rate/vdsr": 0, "turing_fool_rate/vdsr_low": row["low"], "turing_fool_rate/vdsr_high": row["high"],
        "turing_fool_rate/vdsr_pairs": 40, "turing_people": 2, "turing_pairs": 40})
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    assert read_json(folder / "answers/00001.json") == answers("aaaaaaaa")
    assert (folder / "super_resolution.md").read_text() == (tmp_path / "reports/turing/super_resolution.md").read_text()

    assert not sync(tmp_path).changed
    digest = sha256(store.database(tmp_path).read_bytes())
    assert "has this report already" in log(tmp_path, report(tmp_path, paths[::-1] + paths)[0])
    assert not sync(tmp_path).changed
    assert sha256(store.database(tmp_path).read_bytes()) == digest

    log(tmp_path, report(tmp_path, paths[:1])[0])
    assert [run.data.tags["state"] for run in runs()] == ["superseded", "current"]
    assert "has this report already" in log(tmp_path, report(tmp_path, paths)[0])
    assert [run.data.tags["state"] for run in runs()] == ["current", "superseded"]
