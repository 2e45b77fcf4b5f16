"""The promotion rule on synthetic rows: who becomes champion, who does not, and that it always says why."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from restore_ml.errors import UserError
from restore_ml.evaluation.promotion import Decision, decide, read_champion, resolve
from restore_ml.files import canonical_json
from tests.evaluation import made

BASE = np.random.default_rng(0).normal(28, 4, 12)
HELD = {"run": "champ", "weights_sha256": "sha-champ"}


def steady(gain: float, spread: float = 0.05, seed: int = 1) -> np.ndarray:
    return BASE + np.random.default_rng(seed).normal(gain, spread, 12)


def ask(models: Path, runs: dict[str, dict[str, Any]], champion: dict[str, Any] | None = None, *,
        task: str = "super_resolution", profile: str = "cpu", pictures: int = 12, groups: int = 6,
        settings: dict[str, Any] | None = None, **model: Any) -> Decision:
    for run in runs:
        if not (models / run / "model.json").exists():
            made.model(models, run, **model)
    decision = decide(task, made.rows(task, runs, pictures, groups), models, champion, settings or {}, profile=profile)
    canonical_json(decision.as_json())
    assert decision.sentence.endswith(".") and decision.champion == (champion["run"] if champion else "")
    return decision


def test_the_first_champion_is_the_best(tmp_path: Path) -> None:
    decision = ask(tmp_path, {"bicubic": {"psnr_y": BASE}, "vdsr": {"psnr_y": steady(2)}, "srcnn": {
        "psnr_y": steady(1)}})
    assert decision.promoted and decision.run == "vdsr" and decision.weights_sha256 == "sha-vdsr"
    assert decision.compared_with == "bicubic" and decision.gain is not None
    low, mean, high = (decision.gain[key] for key in ("low", "mean", "high"))
    assert low is not None and mean is not None and high is not None and 1.8 < low < mean < high < 2.2
    assert (decision.wins, decision.losses, len(decision.pictures)) == (12, 0, 12)
    assert decision.pictures[3]["champion"] == pytest.approx(BASE[3])


def test_a_baseline_may_be_champion(tmp_path: Path) -> None:
    decision = ask(tmp_path, {"bicubic": {"psnr_y": BASE}, "vdsr": {"psnr_y": steady(-1)}})
    assert decision.promoted and decision.run == "bicubic" and decision.gain is None


@pytest.mark.parametrize(("change", "word"), [
    ({"profile": "quick"}, "quick"), ({"pictures": 9, "groups": 9}, "at least 10"),
    ({"settings": {"min_pictures": 13}}, "at least 13")])
def test_too_little_moves_nothing(tmp_path: Path, change: dict[str, Any], word: str) -> None:
    runs = {"bicubic": {"psnr_y": 28.0}, "vdsr": {"psnr_y": 35.0}}
    for champion in (None, {"run": "bicubic"}):
        decision = ask(tmp_path, runs, champion, **change)
        assert not decision.promoted and word in decision.sentence


def test_failed_runs_and_broken_guards_are_refused_with_reasons(tmp_path: Path) -> None:
    status = ["ok"] * 11 + ["failed"]
    made.model(tmp_path, "late", status="transient")
    decision = ask(tmp_path, {
        "bicubic": {"psnr_y": BASE, "ssim_y": 0.9}, "smooth": {"psnr_y": steady(5), "ssim_y": 0.8},
        "hard": {"psnr_y": steady(6), "status": status, "ssim_y": 0.95}, "dead": {"status": "failed"},
        "late": {"psnr_y": steady(7), "ssim_y": 0.95}, "fair": {"psnr_y": steady(1), "ssim_y": 0.899}})
    assert decision.promoted and decision.run == "fair"
    assert decision.refused["smooth"] == "ssim_y is 0.8, worse than bicubic's 0.9 by more than 0.002"
    assert decision.refused["hard"].startswith("partly failed: 1 of 12 pictures")
    assert decision.refused["dead"] == "failed: diverged" and "transient" in decision.refused["late"]
    nobody = ask(tmp_path, {"dead": {"status": "failed"}})
    assert not nobody.promoted and "No run" in nobody.sentence


def test_a_grey_colorizer_is_no_champion(tmp_path: Path) -> None:
    runs = {"gray_ab0": {"psnr_ab": steady(3), "chroma_ratio": 0.0}, "pale": {"psnr_ab": steady(2),
            "chroma_ratio": 0.1}, "gaudy": {"psnr_ab": steady(1.5), "chroma_ratio": 2.5},
            "zhang": {"psnr_ab": BASE, "chroma_ratio": 0.8}}
    decision = ask(tmp_path, runs, task="colorization")
    assert decision.run == "zhang"
    assert decision.refused["gray_ab0"] == "chroma_ratio is 0, below 0.2" and "above 2" in decision.refused["gaudy"]


def test_a_challenger_must_win_beyond_the_interval(tmp_path: Path) -> None:
    runs = {"bicubic": {"psnr_y": BASE - 1}, "champ": {"psnr_y": BASE}, "new": {"psnr_y": steady(0.3)}}
    sure = ask(tmp_path, runs, HELD)
    assert sure.promoted and sure.run == "new" and sure.compared_with == "champ"
    assert sure.sentence.startswith("new replaces champ: psnr_y +0.3")
    noisy = ask(tmp_path, {**runs, "new": {"psnr_y": steady(0.3, 3.0, seed=4)}}, HELD)
    assert noisy.gain is not None and noisy.gain["mean"] is not None and noisy.gain["mean"] > 0
    assert not noisy.promoted and "does not win beyond the interval" in noisy.sentence
    worse = ask(tmp_path, {**runs, "new": {"psnr_y": steady(-0.3)}}, HELD)
    assert not worse.promoted and worse.losses == 12


def test_interval_is_over_photographs_not_tiles(tmp_path: Path) -> None:
    """A gain on one photograph of many tiles is no gain on photographs."""
    gain = np.zeros(12)
    gain[:8] = 1.0
    rows = made.rows("super_resolution", {"champ": {"psnr_y": BASE}, "new": {"psnr_y": BASE + gain - 0.05}})
    groups = {f"{number:064d}": "one" if number < 8 else f"photo{number}" for number in range(12)}
    for run in ("champ", "new"):
        made.model(tmp_path, run)
    assert decide("super_resolution", rows.assign(group=rows["picture"]), tmp_path, HELD, {}, profile="cpu").promoted
    together = decide("super_resolution", rows.assign(group=rows["picture"].map(groups)), tmp_path, HELD, {},
                      profile="cpu")
    assert not together.promoted and "beyond the interval" in together.sentence
    single = decide("super_resolution", rows.assign(group="same"), tmp_path, HELD, {}, profile="cpu")
    assert not single.promoted and "one photograph" in single.sentence


def test_a_challenger_must_gain_enough_and_hold_the_guards(tmp_path: Path) -> None:
    runs = {"champ": {"psnr_y": BASE, "ssim_y": 0.9}, "new": {"psnr_y": BASE + 0.01, "ssim_y": 0.9}}
    assert "gains less than 0.02" in ask(tmp_path, runs, HELD).sentence
    assert ask(tmp_path, runs, HELD, settings={"minimum_gain": 0}).promoted
    assert ask(tmp_path, runs, HELD, settings={"minimum_gain": {"super_resolution": 0.005}}).promoted
    assert "less than 0.02" in ask(tmp_path, runs, HELD, settings={"minimum_gain": {"inpainting": 0}}).sentence
    runs["new"] = {"psnr_y": BASE + 3, "ssim_y": 0.89}
    decision = ask(tmp_path, runs, HELD)
    assert not decision.promoted and "than champ's 0.9" in decision.refused["new"]


def test_champions_that_cannot_be_compared_stay(tmp_path: Path) -> None:
    runs = {"champ": {"psnr_y": BASE}, "new": {"psnr_y": BASE + 3}}
    for champion, word in (({"run": "gone"}, "no score rows"),
                           ({"run": "champ", "weights_sha256": "older"}, "trained anew")):
        decision = ask(tmp_path, runs, champion)
        assert not decision.promoted and word in decision.sentence
    broken = ask(tmp_path, {**runs, "champ": {"psnr_y": BASE, "status": ["ok"] * 11 + ["failed"]}}, HELD)
    assert not broken.promoted and "not scored on all pictures" in broken.sentence


def test_a_champion_without_figures_stays(tmp_path: Path) -> None:
    decision = ask(tmp_path, {"champ": {"psnr_y": np.full(12, np.nan)}, "new": {"psnr_y": BASE}}, HELD)
    assert not decision.promoted and "no picture has psnr_y" in decision.sentence


def test_a_stored_champion_is_scored_under_its_own_name(tmp_path: Path) -> None:
    champion = {"run": "vdsr", "weights_sha256": "older", "scored_as": "champion"}
    runs = {"champion": {"psnr_y": BASE}, "vdsr": {"psnr_y": steady(1)}, "srcnn": {"psnr_y": steady(0.5)}}
    decision = ask(tmp_path, runs, champion)
    assert decision.promoted and decision.run == "vdsr" and decision.compared_with == "champion"
    assert decision.weights_sha256 == "sha-vdsr"


def test_it_is_a_function_of_its_inputs(tmp_path: Path) -> None:
    runs = {"champ": {"psnr_y": BASE}, "new": {"psnr_y": steady(0.3, 0.4)}}
    for run in runs:
        made.model(tmp_path, run)
    rows = made.rows("super_resolution", runs)
    first, again = (decide("super_resolution", frame, tmp_path, HELD, {}, profile="gpu") for frame in
                    (rows, rows.sample(frac=1, random_state=2)))
    assert json.dumps(first.as_json()) == json.dumps(again.as_json())
    wider = decide("super_resolution", rows, tmp_path, HELD, {"confidence": 0.999}, profile="gpu")
    assert first.gain is not None and wider.gain is not None
    assert wider.gain["low"] < first.gain["low"]  # type: ignore[operator]


@pytest.mark.parametrize(("settings", "word"), [
    ({"confidense": 0.9}, "Did you mean 'confidence'"), ({"confidence": 1}, "below 1"), ({"confidence": "a"}, "number"),
    ({"min_pictures": 1}, "at least 2"), ({"min_pictures": True}, "whole"), ({"minimum_gain": -1}, "at least 0"),
    ({"minimum_gain": {"inpaintin": 1}}, "Did you mean 'inpainting'")])
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(UserError, match=word):
        resolve("inpainting", settings)


def test_odd_calls(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="profile"):
        ask(tmp_path, {"bicubic": {}}, profile="big")
    empty = made.rows("super_resolution", {"bicubic": {}}).iloc[:0]
    assert "no score rows" in decide("super_resolution", pandas.DataFrame(empty), tmp_path, None, {},
                                     profile="cpu").sentence
    assert read_champion(tmp_path / "champion") is None
    made.model(tmp_path, "vdsr")
    assert read_champion(tmp_path / "vdsr") == {"run": "vdsr", "weights_sha256": "sha-vdsr"}
