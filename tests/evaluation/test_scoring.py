"""Score rows: right figures, no exception for what a run did, the same bytes for the same rows."""

import math
from pathlib import Path

import numpy as np
import pandas
import pytest

from restore_ml.base.errors import UserError
from restore_ml.base.files import write_text
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.evaluation.comparison import compare
from restore_ml.evaluation.perceptual import Distances
from restore_ml.evaluation.scoring import KEYS, read_scores, score, write_scores
from restore_ml.metrics.fidelity import psnr_y
from restore_ml.metrics.perceptual import distance_name
from restore_ml.tasks.protocol import protocol
from tests.evaluation import made
from tests.metrics.test_lpips import UNIFORM


def run_rows(scores: pandas.DataFrame, run: str, case: str = "photos/x2") -> pandas.DataFrame:
    return scores[(scores["run"] == run) & (scores["case"] == case)].reset_index(drop=True)


def score_runs(root: Path, *runs: str) -> pandas.DataFrame:
    return score("super_resolution", root / "samples" / "super_resolution", root / "restored" / "super_resolution",
                 [{"run": run, "seed": 7} for run in runs])


def test_rows_of_a_run_that_did_everything(tmp_path: Path) -> None:
    made.samples(tmp_path)
    made.restored(tmp_path, "good", 3)
    scores = score_runs(tmp_path, "good")
    assert list(scores.columns[: len(KEYS)]) == list(KEYS)
    assert len(scores) == len(made.CASES) * made.PICTURES
    assert set(scores["status"]) == {"ok"} and set(scores["reason"]) == {""} and set(scores["seed"]) == {7}
    for number, row in run_rows(scores, "good").iterrows():
        truth = made.truth(int(str(number)), 2)
        assert row["psnr_y"] == pytest.approx(psnr_y((truth + 3).astype(np.uint8), truth, 2), abs=1e-12)
        assert (row["name"], row["group"]) == (f"tile{number}", f"photo{int(str(number)) // 2}")
        assert row["psnr_rgb"] == pytest.approx(20 * math.log10(255 / 3), abs=1e-9)


def test_what_costs_more_is_measured_on_the_case_that_ranks_alone(tmp_path: Path) -> None:
    """FSIM: on the protocol's own case, on the one that is named, or on none where that is not among these."""
    made.samples(tmp_path)
    made.restored(tmp_path, "good", 3)
    places = tmp_path / "samples" / "super_resolution", tmp_path / "restored" / "super_resolution"
    for named, measured in ((None, {"photos/x2"}), ("photos/x3", {"photos/x3"}), ("mine/x2", set())):
        scores = score("super_resolution", *places, [{"run": "good"}], primary=named)
        assert set(scores.loc[scores["fsim"].notna(), "case"]) == measured
        assert scores["psnr_y"].notna().all()
    table = compare("super_resolution", score_runs(tmp_path, "good"), {}, tmp_path / "out")
    assert table["fsim"].notna().tolist() == [True, False] and table["ifc_freq"].isna().all()
    headings = (tmp_path / "out/table.md").read_text()
    assert "fsim ↑" in headings and "ifc_freq" not in headings, "pictures too small for IFC leave no empty column"


def test_identical_pictures_stand_as_the_cap(tmp_path: Path) -> None:
    made.samples(tmp_path)
    made.restored(tmp_path, "oracle", 0)
    rows = run_rows(score_runs(tmp_path, "oracle"), "oracle")
    assert set(rows["psnr_y"]) == {60.0}
    assert rows["ssim_y"].tolist() == pytest.approx([1.0] * 4, abs=1e-7)


def test_failures_keep_their_rows_with_the_reason(tmp_path: Path) -> None:
    made.samples(tmp_path)
    made.restored(tmp_path, "only_x2", 1, {"photos/x3": {"status": "unsupported", "reason": "made for x2"}})
    made.restored(tmp_path, "partly", 1, {"photos/x2": {"status": "ok", "reason": "", "failed": {
        f"{2:064d}": "RuntimeError: no"}}})
    made.restored(tmp_path, "broken", 1, status="failed", reason="loss is NaN at step 3")
    made.restored(tmp_path, "short", 1, status="transient", reason="out of memory")
    made.restored(tmp_path, "lazy", 1)
    (tmp_path / "restored/super_resolution/lazy/photos/x2.arrow").unlink()
    made.restored(tmp_path, "truncated", 1)
    write_text(made.restored(tmp_path, "garbled", 1) / "garbled" / "status.json", "{")
    path = tmp_path / "restored/super_resolution/truncated/photos/x2.arrow"
    path.write_bytes(path.read_bytes()[:200])
    scores = score_runs(tmp_path, "only_x2", "partly", "broken", "short", "lazy", "truncated", "absent",
                        "garbled")
    assert len(scores) == 8 * 8
    assert set(run_rows(scores, "garbled")["reason"]) == {"the run's status.json is unreadable"}

    def said(run: str, case: str = "photos/x2") -> list[tuple[str, str]]:
        rows = run_rows(scores, run, case)
        assert rows.loc[rows["status"] != "ok", "psnr_y"].isna().all()
        return list(zip(rows["status"], rows["reason"], strict=True))

    assert said("only_x2") == [("ok", "")] * 4
    assert said("only_x2", "photos/x3") == [("unsupported", "made for x2")] * 4
    assert said("partly") == [("ok", "")] * 2 + [("failed", "RuntimeError: no")] + [("ok", "")]
    assert said("broken") == [("failed", "loss is NaN at step 3")] * 4
    assert said("short") == [("failed", "transient: out of memory")] * 4
    assert said("lazy") == [("failed", "the run's output x2.arrow is missing")] * 4
    assert said("truncated") == [("failed", "the run's output x2.arrow is broken")] * 4
    assert said("absent") == [("failed", "the run's status.json is missing")] * 4
    assert not scores["reason"].str.contains("/").any()


@pytest.mark.parametrize(("output", "word"), [
    ({"sr": np.zeros((40, 40, 3), np.uint8)}, "it must be (48, 40)"),
    ({"sr": np.zeros((48, 40, 1), np.uint8)}, "it has 1 channels, not 3"),
    ({"sr": np.zeros((48, 40, 3), np.float32)}, "float32 of 3 axes, not uint8"),
    ({"image": np.zeros((48, 40, 3), np.uint8)}, "no array 'sr'"),
])
def test_an_output_that_does_not_fit_fails_alone(tmp_path: Path, output: dict[str, np.ndarray], word: str) -> None:
    made.samples(tmp_path)
    folder = made.restored(tmp_path, "odd", 1)
    good = {"sr": (made.truth(1, 2) + 1).astype(np.uint8)}
    shards.write(folder / "odd" / "photos" / "x2.arrow", [Record(f"{0:064d}", output), Record(f"{1:064d}", good)])
    rows = run_rows(score_runs(tmp_path, "odd"), "odd")
    assert list(rows["status"]) == ["failed", "ok", "failed", "failed"]
    assert word in rows["reason"][0]
    assert "wrote no output" in rows["reason"][2]


def test_only_the_listed_runs_are_scored_and_bytes_repeat(tmp_path: Path) -> None:
    made.samples(tmp_path)
    for run, error in (("b", 2), ("a", 5), ("old", 1)):
        made.restored(tmp_path, run, error)
    write_scores(tmp_path / "one.parquet", score_runs(tmp_path, "b", "a"))
    write_scores(tmp_path / "two.parquet", score_runs(tmp_path, "a", "b").sample(frac=1, random_state=3))
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    again = read_scores(tmp_path / "one.parquet")
    assert set(again["run"]) == {"a", "b"}
    pandas.testing.assert_frame_equal(again, score_runs(tmp_path, "a", "b"), check_exact=True)


def test_samples_or_tables_that_are_missing_are_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dvc repro"):
        score("super_resolution", tmp_path, tmp_path, [])
    with pytest.raises(UserError, match="dvc repro"):
        read_scores(tmp_path / "scores.parquet")
    write_text(tmp_path / "scores.parquet", "no table")
    with pytest.raises(UserError, match="delete it"):
        read_scores(tmp_path / "scores.parquet")
    made.samples(tmp_path)
    path = tmp_path / "samples/super_resolution/inputs/photos/x2.arrow"
    shards.write(path, list(shards.Shard(path))[:2])
    with pytest.raises(UserError, match="different pictures"):
        score_runs(tmp_path, "any")


def test_a_feature_distance_has_a_column_of_its_own_name(tmp_path: Path) -> None:
    made.samples(tmp_path)
    for run, error in (("near", 1), ("far", 60), ("oracle", 0)):
        made.restored(tmp_path, run, error)
    name = distance_name("toy-01234567")
    scores = score("super_resolution", tmp_path / "samples" / "super_resolution",
                   tmp_path / "restored" / "super_resolution", [{"run": run} for run in ("near", "far", "oracle")],
                   Distances({name: UNIFORM}))
    means = scores.groupby("run")[name].mean()
    assert name == "feat_dist@toy-01234567" and means["oracle"] == 0 < means["near"] < means["far"]
    table = compare("super_resolution", scores, {}, tmp_path / "out")
    assert table.set_index(["case", "run"]).loc[("photos/x2", "near"), name] > 0
    assert f"{name} ↓" in (tmp_path / "out/table.md").read_text()
    assert name in (tmp_path / "out/table.csv").read_text()
    assert name not in [metric.name for metric in protocol("super_resolution").metrics]


def test_no_runs_give_an_empty_table_that_can_be_written(tmp_path: Path) -> None:
    made.samples(tmp_path)
    write_scores(tmp_path / "empty.parquet", score_runs(tmp_path))
    empty = read_scores(tmp_path / "empty.parquet")
    assert len(empty) == 0 and "psnr_y" in empty.columns
