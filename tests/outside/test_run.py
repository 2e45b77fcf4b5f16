"""A run of kind `outside` from its stages to the pages: shown like any other, and never used as a model."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from pipelines.machinery.stage import run as run_stage
from restore_ml import cli
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, write_json
from restore_ml.data import shards
from restore_ml.data.shards import Record, Shard
from restore_ml.evaluation.comparison import about_run
from restore_ml.evaluation.tables import console_table, markdown
from restore_ml.outside import stage
from restore_ml.outside.add import add
from restore_ml.outside.export import export
from restore_ml.outside.kept import Kept, keep
from restore_ml.promotion.challengers import gather
from restore_ml.report.comparison import read_table
from restore_ml.report.gallery import build
from restore_ml.runs import replicates, settings
from restore_ml.runs.fingerprints import code
from restore_ml.runs.replicates import draws
from restore_ml.serving import first_run
from restore_ml.serving.restore_command import NoModel
from tests.graphs import edit_runs
from tests.outside.project import save
from tests.tracking import small_project

TASK, CASE = small_project.TASK, "photos/x2"


def bring(root: Path, run: str = "theirs", source: str = "bicubic") -> None:
    """Take the outputs of one of the project's runs in as those of another tool."""
    exported = root.parent / "exported"
    export(root, TASK, "photos", "x2", exported)
    names = {entry["id"]: name for name, entry in read_json(exported / "manifest.json")["samples"].items()}
    for record in Shard(root / layout.restored(TASK, source) / f"{CASE}.arrow"):
        save(root.parent / f"results/{names[record.id]}_{run}.png", record.arrays["sr"])
    add(root, run, TASK, "photos", "x2", root.parent / "results")


def rebuild(root: Path, run: str = "theirs") -> dict[str, Any]:
    """What `dvc repro` does of the run: code, train, restore, score, compare; the status of restoring."""
    content = code(root, settings.load(root / layout.PARAMS))
    for kind in ("train", "restore"):
        write_json(root / layout.code(kind, TASK, run), content[f"{kind}/{TASK}/{run}.json"])
        assert run_stage(kind, f"{TASK}/{run}") == 0
    small_project.rescore(root)
    return dict(read_json(root / layout.restored(TASK, run) / "status.json"))


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project with bicubic's outputs as those of another tool, rebuilt; beside it what the tool wrote."""
    home = tmp_path_factory.mktemp("outside")
    with pytest.MonkeyPatch.context() as environment:
        root = small_project.build(home / "project")
        environment.setenv("RESTORE_ML_ROOT", str(root))
        bring(root)
        rebuild(root)
    return home


@pytest.fixture
def root(rebuilt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it."""
    shutil.copytree(rebuilt, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("RESTORE_ML_ROOT", str(tmp_path / "project"))
    return tmp_path / "project"


def test_the_way_round_gives_bicubic_s_row(root: Path) -> None:
    """8-bit outputs written as PNG, taken in and scored again: not a digit differs."""
    table = read_table(root, TASK)
    ours, theirs = (table[table["run"] == run].iloc[0] for run in ("bicubic", "theirs"))
    for column in ("psnr_y", "ssim_y", "psnr_rgb", "ms_ssim_rgb", "psnr_y_low", "psnr_y_high", "rank", "pictures_ok"):
        assert ours[column] == pytest.approx(theirs[column], abs=0, rel=0, nan_ok=True), column
    assert theirs["method"] == "outside" and math.isnan(theirs["parameters"]) and math.isnan(theirs["training_ops"])
    assert theirs["vs_baseline"] == 0


def test_the_model_says_that_there_is_none(root: Path) -> None:
    facts = read_json(root / layout.model(TASK, "theirs") / "model.json")
    assert facts["kind"] == facts["status"] == facts["method"] == "outside" and not facts["weights_sha256"]
    assert facts["outputs"] == code(root, settings.load(root / layout.PARAMS))[f"train/{TASK}/theirs.json"]["outputs"]
    assert [path.name for path in (root / layout.model(TASK, "theirs")).iterdir()] == ["model.json"]
    assert about_run(root / layout.model(TASK, "theirs"))["parameters"] is None


def test_tables_and_the_gallery_mark_it(root: Path, tmp_path: Path) -> None:
    table = read_table(root, TASK)
    assert "| theirs (outside) |" in markdown(TASK, table) and "| bicubic |" in markdown(TASK, table)
    assert "theirs (outside)" in console_table(TASK, table)
    build(root, tmp_path / "gallery", pictures=2)
    page = (tmp_path / f"gallery/{TASK}.html").read_text(encoding="utf-8")
    assert page.count('title="outputs of another tool, brought in; nothing of it was run here">outside</span>') == 1
    assert 'data-run="theirs" data-method="outside" data-kind="outside"' in page
    assert "theirs" in (tmp_path / "gallery/turing.html").read_text(encoding="utf-8")


def test_it_is_no_challenger_and_the_reason_is_given(root: Path) -> None:
    rows = pandas.concat([pandas.read_parquet(path) for path in (root / layout.scores(TASK)).glob("*.parquet")])
    taken, refused = gather(rows, root / layout.models(TASK), "psnr_y", 1, skipped=[], replicates={}, wanted={})
    assert "theirs" not in [one.run for one in taken] and "bicubic" in [one.run for one in taken]
    assert refused["theirs"] == ("it is outputs of another tool (kind outside), which have no model that could be "
                                 "champion")


@pytest.mark.parametrize("command", [
    ["restore", "photo.png", "-o", "out.png"], ["serve"], ["export", "-o", "theirs.onnx"]])
@pytest.mark.parametrize("built", [True, False])
def test_nobody_restores_serves_or_exports_with_it(root: Path, command: list[str], built: bool,
                                                   tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "photo.png", small_project.picture(1))
    if not built:
        (root / layout.model(TASK, "theirs") / "model.json").unlink()
    assert cli.main([command[0], "--task", TASK, "--model", "theirs", *command[1:]]) == 2
    assert "The run theirs is outputs of another tool (kind outside)" in capsys.readouterr().err


def test_it_is_not_offered_to_be_built(root: Path) -> None:
    edit_runs(root, TASK, bicubic=None, vdsr=None, broken=None)
    with pytest.raises(NoModel):
        first_run.offer(root, TASK, "champion", NoModel("There is none."))


def test_inputs_that_changed_are_refused_when_it_is_restored(root: Path) -> None:
    path = root / layout.inputs(TASK) / f"{CASE}.arrow"
    records = [Record(one.id, {name: np.array(value) for name, value in one.arrays.items()}, one.facts)
               for one in Shard(path)]
    records[0].arrays["lr"][0, 0, 0] ^= 1
    shards.write(path, records)
    case = rebuild(root)["cases"][CASE]
    assert case["status"] == "failed" and case["reason"].startswith(
        "the inputs of this case are not those that the tool was given (1 changed): export them again")
    assert not [*read_table(root, TASK).query("run == 'theirs' and rank > 0").itertuples()]


def test_facts_that_changed_alone_change_nothing(root: Path) -> None:
    path = root / layout.inputs(TASK) / f"{CASE}.arrow"
    records = [Record(one.id, {name: np.array(value) for name, value in one.arrays.items()}, {**one.facts, "more": 1})
               for one in Shard(path)]
    shards.write(path, records)
    assert rebuild(root)["cases"][CASE]["status"] == "ok"


def test_cases_that_were_not_brought_are_unsupported(root: Path) -> None:
    for side in ("inputs", "targets"):
        home = root / layout.samples(TASK) / side / "photos"
        (home / "x2_noise.arrow").write_bytes((home / "x2.arrow").read_bytes())
    case = rebuild(root)["cases"]["photos/x2_noise"]
    assert (case["status"], case["reason"]) == ("unsupported", "no outputs were brought in for this case")


def test_a_sample_that_was_left_out_is_failed_with_its_reason(root: Path) -> None:
    results = root.parent / "results"
    next(results.iterdir()).write_bytes(b"no picture")
    add(root, "theirs", TASK, "photos", "x2", results, partial=True)
    case = rebuild(root)["cases"][CASE]
    assert case["status"] == "ok" and list(case["failed"].values()) == ["not an image of a known format"]
    row = read_table(root, TASK).query("run == 'theirs'").iloc[0]
    assert row["status"] == "partly failed" and math.isnan(row["rank"]) and row["pictures_ok"] == 2


def test_new_outputs_are_another_model(root: Path) -> None:
    before = read_json(root / layout.model(TASK, "theirs") / "model.json")
    bring(root, source="vdsr")
    rebuild(root)
    after = read_json(root / layout.model(TASK, "theirs") / "model.json")
    assert before["outputs"] != after["outputs"] and before["fingerprint"] != after["fingerprint"]


def test_outputs_that_are_not_here_are_fetched_not_forgotten(root: Path) -> None:
    spec = read_json(root / layout.code("train", TASK, "theirs"))
    with pytest.raises(UserError, match=r"`dvc pull brought/outputs/super_resolution/theirs\.dvc` brings them"):
        stage.train(spec | {"outputs": {}}, root, root / "nowhere")


@pytest.mark.parametrize("change", [{"samples": {"a": {"sr": "../../x2.png"}}}, {"samples": {"a": {"sr": "/x.png"}}},
                                    {"samples": {"a": "x.png"}}, {"samples": None}, {"inputs": []}])
def test_files_beside_the_outputs_are_not_led_elsewhere(root: Path, change: dict[str, Any]) -> None:
    path = root / layout.outputs(TASK, "theirs") / CASE / "outputs.json"
    write_json(path, read_json(path) | change)
    with pytest.raises(UserError, match="was changed by hand"):
        Kept(path.parent)


def test_an_output_is_not_overwritten_by_what_stands_beside_it(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outputs.json").write_text("mine")
    place = keep(root, TASK, "theirs", CASE, {"a": ("outputs", {"boxes": tmp_path / "outputs.json"})},
                 {"inputs": {}, "left_out": {}})
    paths = Kept(place).paths("a")
    assert paths is not None and paths["boxes"].read_text() == "mine"


def test_other_runs_do_not_depend_on_it(root: Path) -> None:
    with_it = code(root, settings.load(root / layout.PARAMS))
    edit_runs(root, TASK, theirs=None)
    without = code(root, settings.load(root / layout.PARAMS))
    assert {name: value for name, value in with_it.items() if "theirs" not in name and not name.startswith(
        "compare")} == {name: value for name, value in without.items() if not name.startswith("compare")}
    kinds = {entry["run"]: entry["kind"] for entry in with_it[f"compare/{TASK}.json"]["runs"]}
    assert kinds["theirs"] == "outside"


HOME = f"brought/outputs/{TASK}/theirs"


@pytest.mark.parametrize(("changes", "words"), [
    ({"theirs": {"outputs": "elsewhere"}}, f"outputs of the run 'theirs' of {TASK} is 'elsewhere'; it must be {HOME}"),
    ({"theirs": {"outputs": HOME, "settings": {"width": 3}}}, "has the unknown key 'settings'"),
    ({"theirs": {"outputs": HOME, "method": "vdsr"}}, "has the unknown key 'method'"),
    ({"theirs": {"outputs": HOME, "teacher": f"{TASK}/vdsr"}}, "so nothing can fill its slot teacher"),
    ({"vdsr": {"teacher": f"{TASK}/theirs"}}, "outputs of another tool: there is no model of it to use"),
    ({"again": {"of": "theirs", "seed": 2}}, "repeats 'theirs', outputs of another tool, which no seed changes")])
def test_entries_that_make_no_sense(root: Path, changes: dict[str, Any], words: str) -> None:
    edit_runs(root, TASK, **changes)
    with pytest.raises(UserError, match=words.replace("(", r"\(")):
        settings.load(root / layout.PARAMS)


def test_no_seed_repeats_it(root: Path) -> None:
    run = settings.load(root / layout.PARAMS).runs[f"{TASK}/theirs"]
    assert not draws(run)
    with pytest.raises(UserError, match="no run 'theirs' that could be repeated"):
        replicates.write(root, 2, ["theirs"])


def test_other_modules_do_its_stages(root: Path) -> None:
    wishes = code(root, settings.load(root / layout.PARAMS))
    assert wishes[f"train/{TASK}/theirs.json"]["stage"] == "brought.no_model"
    assert wishes[f"restore/{TASK}/theirs.json"]["stage"] == "brought.outputs"
    assert "stage" not in wishes[f"train/{TASK}/vdsr.json"] and "stage" not in wishes[f"restore/{TASK}/vdsr.json"]
