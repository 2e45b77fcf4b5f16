"""Cases without a truth from the stage `score` to the pages: figures of their own, and no row anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines import score as score_stage
from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.files import read_json, write_json
from restore_ml.data import shards
from restore_ml.data.shards import Record, Shard
from restore_ml.evaluation import without_truth
from restore_ml.evaluation.comparison import compare, read_about
from restore_ml.evaluation.scoring import cases_on_disk, read_task
from restore_ml.metrics.without_truth import grain
from restore_ml.report.gallery import build_page
from restore_ml.report.pairs import pairs
from restore_ml.report.pictures import TaskPictures, first_outputs
from restore_ml.report.view import TaskView
from restore_ml.tracking.entry import Entry
from tests.graphs import write_runs
from tests.tracking import small_project

TASK, CASE = "restoration", "album/as_found"
RUNS = {"identity": {}, "derain_median": {}, "nl_means": {}}
SIZE = {"size": 32}


def sample(number: int, case: str) -> tuple[Record, Record]:
    facts = {"name": f"picture {number}", "collection": "c", "group": f"g{number // 2}", "synthetic": False}
    record = Record(f"{number:064x}", {"image": small_project.picture(number)}, facts)
    made = registry.parts(TASK).cases.sample(record, case, 1, SIZE)
    return Record(record.id, made.inputs, {**facts, **made.facts}), Record(record.id, made.target, facts)


def lay_out(root: Path) -> Path:
    """Three pictures of a case with a truth and three of one without, restored and scored by three runs."""
    (root / "params.yaml").write_text(small_project.PARAMS)
    write_runs(root, TASK, RUNS, samples={"settings": SIZE})
    for case, numbers in (("photos/old_photo", range(3)), (CASE, range(3, 6))):
        rows = [sample(number, case.split("/")[1]) for number in numbers]
        shards.write(root / layout.inputs(TASK) / f"{case}.arrow", [row[0] for row in rows])
        if case != CASE:
            shards.write(root / layout.samples(TASK) / "targets" / f"{case}.arrow", [row[1] for row in rows])
    write_json(root / layout.code("score", TASK), {"primary_case": "", "perceptual": {}, "judge": layout.NONE})
    for run in RUNS:
        small_project.add_run(root, run, run, {})
        score_stage.score_pictures(f"{TASK}/{run}")
    compare(TASK, read_task(root, TASK), read_about(root, TASK, RUNS), root / layout.comparison(TASK))
    small_project.write_lock(root)
    return root


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("without truth") / "project"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_project, "TASK", TASK)
        patch.chdir(root)
        yield lay_out(root)


def test_every_run_restores_them_and_nothing_scores_them(project: Path) -> None:
    assert without_truth.cases(project / layout.samples(TASK)) == [CASE]
    assert cases_on_disk(project / layout.samples(TASK)) == ["photos/old_photo"]
    for run in RUNS:
        assert len(Shard(project / layout.restored(TASK, run) / f"{CASE}.arrow")) == 3
    assert set(read_task(project, TASK)["case"]) == {"photos/old_photo"}
    table = pd.read_csv(project / layout.comparison(TASK) / "table.csv")
    assert set(table["case"]) == {"photos/old_photo"}
    assert "as_found" not in (project / layout.comparison(TASK) / "table.md").read_text()


@pytest.mark.parametrize("run", RUNS)
def test_the_stage_writes_their_figures_apart(project: Path, run: str) -> None:
    found = read_json(project / layout.about(TASK, run))[without_truth.KEY]
    outputs = Shard(project / layout.restored(TASK, run) / f"{CASE}.arrow")
    assert found == {CASE: {record.id: {"grain": pytest.approx(grain(record.arrays["image"]), abs=1e-6)}
                            for record in outputs}}


def test_a_task_without_such_cases_says_nothing_of_them(project: Path, tmp_path: Path) -> None:
    assert without_truth.figures("super_resolution", project / layout.samples(TASK), tmp_path) == {}


def test_what_a_run_did_not_restore_has_no_figures_and_what_is_not_declared_is_a_bug(project: Path, tmp_path: Path,
                                                                                    monkeypatch) -> None:
    samples, restored = project / layout.samples(TASK), tmp_path / "restored"
    assert without_truth.figures(TASK, samples, restored) == {}
    first = next(iter(Shard(project / layout.restored(TASK, "identity") / f"{CASE}.arrow")))
    shards.write(restored / f"{CASE}.arrow", [first])
    assert list(without_truth.figures(TASK, samples, restored)[CASE]) == [first.id]
    from restore_ml.tasks.restoration.evaluation import PROTOCOL

    monkeypatch.setattr(type(PROTOCOL), "measure_without_truth", lambda *_: {"grain": float("nan")})
    assert without_truth.figures(TASK, samples, restored) == {CASE: {first.id: {}}}
    monkeypatch.setattr(type(PROTOCOL), "measure_without_truth", lambda *_: {"depth": 1.0})
    with pytest.raises(ValueError, match="no figure without a truth depth"):
        without_truth.figures(TASK, samples, restored)
    (restored / f"{CASE}.arrow").write_bytes(b"broken")
    assert without_truth.figures(TASK, samples, restored) == {}


class Store:
    """Keeps what is shown."""

    def __init__(self) -> None:
        self.pictures: list[np.ndarray] = []

    def add(self, picture: np.ndarray) -> dict:
        self.pictures.append(picture)
        height, width = picture.shape[-3:-1]
        return {"ref": str(len(self.pictures) - 1), "width": width, "height": height}

    def embed(self, ref: str) -> None:
        """Nothing."""


def test_the_gallery_shows_input_and_results_with_figures_of_their_own(project: Path) -> None:
    store = Store()
    facts = TaskView(project, TASK, store, 2).gather()
    scored, found = facts["browser"]["cases"]
    assert found["name"] == CASE and found["count"] == 3 and len(found["pictures"]) == 2
    assert found["metrics"] == [{"name": "grain", "direction": 0, "digits": 2, "unit": "levels"}]
    assert "metrics" not in scored and [metric["name"] for metric in facts["browser"]["metrics"]] == ["psnr", "ssim"]
    assert [board["name"] for board in facts["boards"]] == ["photos/old_photo"]
    assert facts["without_truth"] == [{"name": CASE, "counted": "3 pictures of 2 photographs"}]
    assert [name for name, words in facts["told"] if words] == ["grain"]
    runs = [facts["runs"][place] for place in found["runs"]]
    assert sorted(runs) == sorted(RUNS) and found["runs"] == sorted(found["runs"])
    for picture in found["pictures"]:
        assert [shot["key"] for shot in picture["given"]] == ["input"] and picture["truth"] is None
        for tile in picture["tiles"]:
            seen = store.pictures[int(tile["picture"])]
            assert tile["values"] == [pytest.approx(grain(seen), abs=1e-5)]


def test_a_run_that_left_them_out_is_not_listed(project: Path) -> None:
    path = project / layout.restored(TASK, "nl_means") / f"{CASE}.arrow"
    data = path.read_bytes()
    path.unlink()
    try:
        facts = TaskView(project, TASK, Store(), 2).gather()
    finally:
        path.write_bytes(data)
    found = facts["browser"]["cases"][-1]
    assert {facts["runs"][place] for place in found["runs"]} == {"identity", "derain_median"}
    assert {facts["runs"][tile["run"]] for tile in found["pictures"][0]["tiles"]} == {"identity", "derain_median"}


def test_the_pages_hold_them(project: Path, tmp_path: Path) -> None:
    page = build_page(project, tmp_path, TASK)
    text = page.read_text()
    assert f'<option value="{CASE}">{CASE} (no truth)</option>' in text and "Nobody knows" in text
    assert f'data-case="{CASE}" hidden' in text
    compared = (tmp_path / f"compare_{TASK}.html").read_text()
    assert CASE in compared and '"name":"grain"' in compared


def test_the_page_that_compares_two_has_their_metrics() -> None:
    case = {"name": CASE, "pictures": [], "metrics": [{"name": "grain"}]}
    shown = {"task": TASK, "runs": [], "metrics": [], "cases": [case, {"name": "photos/x", "pictures": []}]}
    assert pairs(shown)["cases"] == [case, {"name": "photos/x", "pictures": []}]


def test_the_pictures_of_a_run_are_those_of_the_primary_case_and_then_these(project: Path) -> None:
    names = [name for name, _ in first_outputs(project, TASK, "identity", 2)]
    assert [name.rpartition("_picture")[0] for name in names] == ["photos_old_photo"] * 2 + ["album_as_found"] * 2
    pictures = TaskPictures(project, TASK)
    assert pictures.cases() == ["photos/old_photo"] and pictures.cases_without_truth() == [CASE]


def test_the_page_in_mlflow_is_another_one_where_a_figure_is(project: Path) -> None:
    def entry() -> Entry:
        return Entry(project, TASK, "identity", project / layout.model(TASK, "identity"), pd.DataFrame(), "data")

    figures = read_json(project / layout.about(TASK, "identity"))[without_truth.KEY]
    before = entry()
    assert before.without_truth() == figures
    champion = Entry(project, TASK, "identity", before.folder, pd.DataFrame(), "data", role="champion")
    assert champion.without_truth() == {}
    path = project / layout.about(TASK, "identity")
    text = path.read_text()
    print_before = before.fingerprint
    path.write_text(text.replace('"grain": ', '"grain": 9'))
    try:
        assert json.loads(path.read_text()) and entry().fingerprint != print_before
    finally:
        path.write_text(text)
    assert entry().fingerprint == print_before
