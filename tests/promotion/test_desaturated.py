"""A desaturated winner is no champion of colorization: real pictures, real scores, the real rule.

A regression that cannot know a colour answers the mean of all that it might be. It is near every truth, so its
PSNR wins, and its pictures are pale.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from skimage import data

from restore_ml import registry
from restore_ml.arrays import Arrays
from restore_ml.base.files import write_json
from restore_ml.data import shards
from restore_ml.data.shards import Record, Shard
from restore_ml.degradations.colour import to_rgb8
from restore_ml.evaluation.scoring import score
from restore_ml.promotion.deciding import Decision, decide
from restore_ml.promotion.guards import metric_checks
from restore_ml.promotion.rule import resolve
from restore_ml.restoring.harness import restore
from restore_ml.tasks.colorization.evaluation import PROTOCOL
from tests.evaluation import made
from tests.methods import colour_project

CASE = "photos/lab_grey"
PARTS = registry.parts("colorization")
OUTPUTS = dict[str, list[np.ndarray]]


def samples(root: Path, pictures: list[np.ndarray], size: int) -> list[Record]:
    """samples/colorization of the pictures, two after another of one photograph; returns the inputs."""
    inputs, targets = [], []
    for number, picture in enumerate(pictures):
        facts = {"name": f"tile{number}", "group": f"photo{number // 2}", "collection": "c", "synthetic": False}
        sample = PARTS.cases.sample(Record(f"{number:064x}", {"image": picture}), "lab_grey", 1, {"size": size})
        inputs.append(Record(f"{number:064x}", sample.inputs, facts))
        targets.append(Record(f"{number:064x}", sample.target, facts))
    shards.write(root / f"inputs/{CASE}.arrow", inputs)
    shards.write(root / f"targets/{CASE}.arrow", targets)
    return inputs


def truths(root: Path) -> list[Arrays]:
    return [record.arrays for record in Shard(root / f"targets/{CASE}.arrow")]


def decided(root: Path, outputs: OUTPUTS) -> tuple[Decision, pandas.DataFrame]:
    """What the rule says of runs with these ab, a picture each, through files, scores and the rule."""
    for run, values in outputs.items():
        folder = root / "restored" / run
        shards.write(folder / f"{CASE}.arrow", [Record(f"{number:064x}", {"ab": np.float32(ab)})
                                                for number, ab in enumerate(values)])
        write_json(folder / "status.json", {"run": run, "status": "ok", "reason": "", "cases": {
            CASE: {"status": "ok", "reason": "", "failed": {}}}})
        made.model(root / "models", run, task="colorization")
    rows = score("colorization", root / "samples", root / "restored", [{"run": run, "seed": 1} for run in outputs])
    return decide("colorization", rows, root / "models", None, {}, profile="cpu"), rows


def turned(ab: np.ndarray, degrees: float) -> np.ndarray:
    """Colours of a wrong hue and their right strength."""
    angle = np.deg2rad(degrees)
    return ab @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def photographs() -> list[np.ndarray]:
    """Two crops of each of six photographs."""
    from sklearn.datasets import load_sample_image

    whole = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket(), load_sample_image("china.jpg"),
             load_sample_image("flower.jpg")]
    return [np.ascontiguousarray(picture[top:top + 96, left:left + 96]) for picture in whole
            for top, left in ((90, 120), (190, 220))]


def test_pale_copies_of_the_truth_win_and_are_refused(tmp_path: Path) -> None:
    """What is nearest to the truth but has 0.4 of its chroma, against colours that err."""
    samples(tmp_path / "samples", photographs(), 64)
    true = [target["ab"] for target in truths(tmp_path / "samples")]
    outputs = {"gray_ab0": [ab * 0 for ab in true], "pale": [ab * 0.4 for ab in true],
               "vivid": [turned(ab, 45) for ab in true]}
    decision, rows = decided(tmp_path, outputs)
    means = rows.groupby("run")[["psnr_ab", "chroma_ratio"]].mean()
    assert means["psnr_ab"].idxmax() == "pale"
    assert means["chroma_ratio"]["pale"] == pytest.approx(0.4, abs=1e-3)
    assert decision.refused["pale"] == "the median of chroma_ratio is 0.4, below 0.5"
    assert [entry["run"] for entry in decision.considered] == ["pale", "vivid"]
    assert decision.promoted and decision.run == "vivid"


def ambiguous(number: int, side: int = 48) -> np.ndarray:
    """Squares that are reddish or bluish, as chance has it: nothing in their lightness tells which."""
    draws = np.random.default_rng(1000 + number)
    lightness = np.clip(60 + draws.normal(0, 8, (side, side, 1)), 35, 85)
    hues = draws.integers(0, 2, (4, 4)).repeat(side // 4, 0).repeat(side // 4, 1)
    return to_rgb8(lightness, np.array([[38.0, 14.0], [-18.0, -22.0]])[hues])


def material(root: Path, pictures: int = 40) -> Path:
    """A project whose training split are such pictures, more than a small network learns by heart."""
    records = [Record(f"{number:064x}", {"image": ambiguous(number)}) for number in range(pictures)]
    folder = root / "samples" / "colorization" / "train"
    shards.write(folder / "00.arrow", PARTS.training.records(records, 1, {"size": 32}))
    for name, pool in PARTS.training.pools(records, 1, {"size": 32}).items():
        shards.write(folder / "pools" / name / "pool.arrow", pool)
    return root


def test_a_trained_regression_wins_and_is_refused(tmp_path: Path) -> None:
    """A real network, trained through the real loop on pictures whose colour cannot be known; beside it a run that
    dares colours and errs by 61 degrees, a little farther from the truth than grey is."""
    if "l2_regression" not in registry.method_names("colorization"):
        pytest.skip("The method l2_regression is not there.")
    settings: dict[str, Any] = {"width": 4, "patch": 32, "batch": 8, "steps": 50, "lr": 3e-3, "ema": 0.9}
    method, model, _ = colour_project.trained(material(tmp_path / "project"), "l2_regression", **settings)
    inputs = samples(tmp_path / "samples", [ambiguous(100 + number) for number in range(12)], 48)
    regression = [restore(method, model, record.arrays, 1)["ab"] for record in inputs]
    daring = [turned(target["ab"], 61) for target in truths(tmp_path / "samples")]
    outputs = {"gray_ab0": [ab * 0 for ab in regression], "regression": regression, "daring": daring}
    decision, rows = decided(tmp_path, outputs)
    means = rows.groupby("run")[["psnr_ab", "chroma_ratio"]].mean()
    assert means["psnr_ab"].idxmax() == "regression", means
    assert means["chroma_ratio"]["regression"] < 0.5
    assert "chroma_ratio" in decision.refused["regression"] and "below 0.5" in decision.refused["regression"]
    assert decision.promoted and decision.run == "daring", decision.refused


def rows_of(*ratios: float) -> pandas.DataFrame:
    return pandas.DataFrame({"chroma_ratio": ratios, "auc_balanced": 0.8})


@pytest.mark.parametrize(("ratios", "sentence"), [
    ((0.3, 0.4, 0.45, 6.0), "the median of chroma_ratio is 0.425, below 0.5"),  # the mean is 1.8: one nearly grey truth
    ((0.5, 0.5, 0.5), ""), ((0.1, 0.6, 0.7), ""), ((1.0, 1.2, 40.0), ""), ((2.0, 2.0), ""),
    ((0.9, 2.1, 2.2), "the median of chroma_ratio is 2.1, above 2"), ((0.0, 0.0), "the median of chroma_ratio is 0, "
                                                                                  "below 0.5")])
def test_the_median_picture_is_held_against_the_bounds(ratios: tuple[float, ...], sentence: str) -> None:
    checks = {check.name: check for check in metric_checks(PROTOCOL, resolve("colorization", {}), rows_of(*ratios),
                                                           None, "")}
    found = checks["chroma_ratio"]
    assert (found.sentence, found.holds, found.least, found.most) == (sentence, not sentence, 0.5, 2.0)
    assert found.value == pytest.approx(float(np.median(ratios)))


def test_a_margin_of_the_graph_keeps_the_bounds_of_the_median() -> None:
    rule = resolve("colorization", {"margins": {"colorization": {"auc_balanced": 0.02}}})
    guards = {guard.metric: guard for guard in rule.guards(PROTOCOL)}
    assert guards["chroma_ratio"].middle and guards["auc_balanced"].margin == 0.02
    assert not guards["auc_balanced"].middle
