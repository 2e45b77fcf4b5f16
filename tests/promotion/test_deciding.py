"""The promotion rule on synthetic rows: who becomes champion, who does not, and that it always says why."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from restore_ml.base.errors import UserError
from restore_ml.base.files import canonical_json, sha256
from restore_ml.evaluation.statistics import paired
from restore_ml.promotion.challengers import gain, widened
from restore_ml.promotion.deciding import Decision, decide
from restore_ml.promotion.rule import resolve
from tests.evaluation import made

BASE = np.random.default_rng(0).normal(28, 4, 12)
UNSURE = np.tile([9.0, -9.0], 6)
"""Per picture, and so per photograph: a mean that says nothing."""
HELD = {"run": "champ", "weights_sha256": "sha-champ"}


def steady(gain: float, spread: float = 0.05, seed: int = 1) -> np.ndarray:
    return BASE + np.random.default_rng(seed).normal(gain, spread, 12)


def ask(models: Path, runs: dict[str, dict[str, Any]], champion: dict[str, Any] | None = None, *,
        task: str = "super_resolution", profile: str = "cpu", pictures: int = 12, groups: int = 6,
        settings: dict[str, Any] | None = None, **more: Any) -> Decision:
    for run in runs:
        if not (models / run / "model.json").exists():
            made.model(models, run)
    decision = decide(task, made.rows(task, runs, pictures, groups), models, champion, settings or {}, profile=profile,
                      **more)
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
    ({"settings": {"min_pictures": 13}}, "at least 13"),
    ({"settings": {"default": {"super_resolution": "vdsr"}}}, "people get its default, vdsr")])
def test_too_little_moves_nothing(tmp_path: Path, change: dict[str, Any], word: str) -> None:
    runs = {"bicubic": {"psnr_y": 28.0}, "vdsr": {"psnr_y": 35.0}}
    for champion in (None, {"run": "bicubic"}):
        decision = ask(tmp_path, runs, champion, **change)
        assert not decision.promoted and not decision.asked and word in decision.sentence


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
    assert decision.refused["gray_ab0"] == "the median of chroma_ratio is 0, below 0.5"
    assert "above 2" in decision.refused["gaudy"]


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
    assert not single.promoted and "1 photograph, which says nothing" in single.sentence
    clear = made.rows("super_resolution", {"champ": {"psnr_y": BASE}, "new": {"psnr_y": BASE + 3}}, groups=4)
    four = decide("super_resolution", clear, tmp_path, HELD, {}, profile="cpu")
    assert not four.promoted and "4 photographs, which say too little" in four.sentence
    assert decide("super_resolution", clear, tmp_path, HELD, {"min_photographs": 4}, profile="cpu").promoted


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


def test_with_no_rival_the_sentence_is_about_the_champion(tmp_path: Path) -> None:
    decision = ask(tmp_path, {"champ": {"psnr_y": BASE}, "dead": {"status": "failed"}}, HELD)
    assert not decision.promoted
    assert decision.sentence == ("champ stays champion of super_resolution: no other run could be compared with it "
                                 "(dead: failed: diverged).")
    alone = ask(tmp_path, {"champ": {"psnr_y": BASE}}, HELD)
    assert alone.sentence == "champ stays champion of super_resolution: no other run could be compared with it."


def test_the_next_is_asked_when_the_best_breaks_a_guard(tmp_path: Path) -> None:
    runs = {"champ": {"psnr_y": BASE, "ssim_y": 0.9}, "best": {"psnr_y": steady(2), "ssim_y": 0.8},
            "second": {"psnr_y": steady(1), "ssim_y": 0.9}, "third": {"psnr_y": steady(0.5), "ssim_y": 0.95}}
    decision = ask(tmp_path, runs, HELD)
    assert decision.promoted and decision.run == "second"
    assert [entry["run"] for entry in decision.considered] == ["best", "second"]
    assert "ssim_y is 0.8" in decision.considered[0]["verdict"] and decision.considered[1]["verdict"] == "passes"
    noisy = ask(tmp_path, runs | {"best": {"psnr_y": BASE + 1.5 + UNSURE, "ssim_y": 0.95}}, HELD)
    assert noisy.promoted and noisy.run == "second" and "beyond the interval" in noisy.considered[0]["verdict"]
    nobody = ask(tmp_path, {name: runs[name] | {"ssim_y": 0.8 if name != "champ" else 0.9} for name in runs}, HELD)
    assert nobody.sentence.startswith("champ stays: best breaks a guard") and len(nobody.considered) == 3


def test_more_challengers_need_surer_intervals(tmp_path: Path) -> None:
    runs = {"champ": {"psnr_y": BASE}, "new": {"psnr_y": steady(0.3, 0.2)}}
    one = ask(tmp_path, runs, HELD)
    many = ask(tmp_path, runs | {f"weak{number}": {"psnr_y": BASE - 5} for number in range(9)}, HELD)
    assert one.gain is not None and many.gain is not None
    assert (one.gain["confidence"], many.gain["confidence"]) == (0.95, 0.995)
    assert many.gain["low"] < one.gain["low"] and many.gain["mean"] == one.gain["mean"]
    assert one.noise == 0.025 and many.noise == pytest.approx(10 / 64)  # six photographs cannot say more


@pytest.mark.parametrize(("settings", "word"), [
    ({"max_parameters": 999}, "parameters is 1000, above 999"), ({"max_megabytes": 0.003}, "megabytes is 0.004, above"),
    ({"margins": {"super_resolution": {"psnr_rgb": 0.5}}}, "psnr_rgb is 29, worse than champ's 30 by more than 0.5"),
    ({"max_ms_per_megapixel": 10}, "ms_per_megapixel is 20, above 10")])
def test_each_guard_refuses(tmp_path: Path, settings: dict[str, Any], word: str) -> None:
    made.model(tmp_path, "new", parameters_total=1000)
    (tmp_path / "new/weights.safetensors").write_bytes(bytes(4000))
    runs = {"champ": {"psnr_y": BASE, "psnr_rgb": 30}, "new": {"psnr_y": BASE + 1, "psnr_rgb": 29}}

    def probe(run: str, rule: Any) -> dict[str, Any]:
        return {"canaries": None, "latency": {"ms_per_megapixel": 20.0, "machine": "m"}}

    assert ask(tmp_path, runs, HELD, probe=probe).promoted
    refused = ask(tmp_path, runs, HELD, settings=settings, probe=probe)
    assert not refused.promoted and word in refused.sentence and word in refused.refused["new"]
    looser = {key: {"super_resolution": {"psnr_rgb": 2}} if key == "margins" else 1e6 for key in settings}
    assert ask(tmp_path, runs, HELD, settings=looser, probe=probe).promoted
    checks = {check["name"]: check for check in refused.guards}
    assert checks["parameters"]["value"] == 1000 and checks["ssim_y"]["margin"] == 0.002 and checks["ssim_y"]["holds"]


def test_insane_canaries_refuse_and_only_the_winner_is_probed(tmp_path: Path) -> None:
    runs = {"champ": {"psnr_y": BASE}, "wild": {"psnr_y": steady(3)}, "calm": {"psnr_y": steady(1)},
            "noise": {"psnr_y": BASE + 2 + UNSURE}, "worse": {"psnr_y": BASE - 1}}
    asked: list[str] = []

    def probe(run: str, rule: Any) -> dict[str, Any]:
        asked.append(run)
        return {"canaries": {"sane": run != "wild", "sentence": "does not restore the canary pictures sanely: flat, x",
                             "pictures": []}, "latency": None}

    decision = ask(tmp_path, runs, HELD, probe=probe)
    assert decision.promoted and decision.run == "calm" and asked == ["wild", "calm"]
    assert "flat, x" in decision.refused["wild"]
    first = ask(tmp_path, {name: runs[name] for name in ("wild", "champ")}, probe=probe)
    assert first.promoted and first.run == "champ"


def test_replicates_are_pooled_and_the_median_one_is_installed(tmp_path: Path) -> None:
    runs = {"champ": {"psnr_y": BASE}, "net": {"psnr_y": BASE + 3}, "net_s2": {"psnr_y": BASE - 0.5},
            "net_s3": {"psnr_y": BASE + 0.8}}
    team = {"net": ["net", "net_s2", "net_s3"], "champ": ["champ"]}
    decision = ask(tmp_path, runs, HELD, replicates=team, seeds={"net": 3})
    assert decision.promoted and (decision.run, decision.install) == ("net", "net_s3")
    assert decision.gain is not None and decision.gain["mean"] == pytest.approx(1.1)
    assert decision.weights_sha256 == "sha-net_s3" and decision.members == team["net"]
    even = ask(tmp_path, runs, HELD, replicates={"net": ["net", "net_s3"]})
    assert even.install == "net_s3" and len(even.considered) == 1  # the worse of two; net_s2 stands alone, not asked
    short = ask(tmp_path, runs, HELD, replicates=team, seeds={"net": 4})
    assert not short.promoted and "3 of the 4 seeds" in short.refused["net"]
    broken = ask(tmp_path, runs | {"net_s2": {"status": "failed"}}, HELD, replicates=team)
    assert not broken.promoted and broken.refused["net"] == "net_s2: failed: diverged"
    lucky = ask(tmp_path, runs | {"net_s2": {"psnr_y": BASE - 4}}, HELD, replicates=team)
    assert not lucky.promoted  # one lucky seed of three


def test_the_champion_under_its_own_run_is_no_challenger(tmp_path: Path) -> None:
    for run in ("vdsr", "bicubic"):
        made.model(tmp_path, run)
    held = {"run": "vdsr", "weights_sha256": "sha-vdsr", "scored_as": "champion vdsr (1)",
            "model_sha256": sha256((tmp_path / "vdsr/model.json").read_bytes())}
    runs = {"champion vdsr (1)": {"psnr_y": BASE}, "vdsr": {"psnr_y": BASE}, "bicubic": {"psnr_y": BASE - 1}}
    decision = ask(tmp_path, runs, held)
    assert not decision.promoted and [entry["run"] for entry in decision.considered] == ["bicubic"]


def test_who_wins_where(tmp_path: Path) -> None:
    runs = {"champ": {"psnr_y": BASE}, "new": {"psnr_y": steady(0.5)}}
    other = {"champ": {"psnr_y": BASE}, "new": {"psnr_y": steady(-0.5)}}
    for run in runs:
        made.model(tmp_path, run)
    rows = pandas.concat([made.rows("super_resolution", runs), made.rows("super_resolution", other, case="mine/x2"),
                          made.rows("super_resolution", runs | {"new": {"status": "unsupported"}}, case="photos/x3")])
    decision = decide("super_resolution", rows, tmp_path, HELD, {}, profile="cpu")
    assert decision.promoted and decision.case == "photos/x2"
    assert {entry["case"]: entry["winner"] for entry in decision.where} == {"photos/x2": "new", "mine/x2": "champ"}


def test_an_error_metric_may_decide(tmp_path: Path) -> None:
    runs = {"champ": {"l1_hole": 3.0}, "new": {"l1_hole": np.full(12, 2.5)}, "worse": {"l1_hole": 4.0}}
    settings = {"metric": {"inpainting": "l1_hole"}}
    decision = ask(tmp_path, runs, HELD, task="inpainting", settings=settings)
    assert decision.promoted and decision.run == "new" and decision.gain is not None
    assert decision.gain["mean"] == pytest.approx(0.5) and decision.rule["minimum_gain"] == 0


def test_a_tie_changes_nothing(tmp_path: Path) -> None:
    decision = ask(tmp_path, {"champ": {"psnr_y": BASE}, "new": {"psnr_y": BASE}}, HELD, settings={"minimum_gain": 0})
    assert not decision.promoted and (decision.wins, decision.losses) == (0, 0)
    first = ask(tmp_path, {"b": {"psnr_y": BASE}, "a": {"psnr_y": BASE}})
    assert first.run == "a"  # equal means: by name


@hypothesis(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 5.0), st.integers(5, 12))
def test_order_means_nothing_and_a_constant_gain_promotes(tmp_path_factory: pytest.TempPathFactory, seed: int,
                                                          much: float, groups: int) -> None:
    folder = tmp_path_factory.mktemp("models")
    base = np.random.default_rng(seed).normal(28, 4, 12)
    runs = {"champ": {"psnr_y": base}, "new": {"psnr_y": base + much}, "old": {"psnr_y": base - much}}
    for run in runs:
        made.model(folder, run)
    rows = made.rows("super_resolution", runs, groups=groups)
    one, two = (decide("super_resolution", frame, folder, HELD, {}, profile="cpu")
                for frame in (rows, rows.sample(frac=1, random_state=seed)))
    assert canonical_json(one.as_json()) == canonical_json(two.as_json())
    assert one.promoted and one.run == "new"
    back = decide("super_resolution", rows, folder, {"run": "new"}, {}, profile="cpu")
    assert not back.promoted


@pytest.mark.parametrize(("rivals", "photographs"), [(1, 12), (3, 12), (1, 8)])
def test_noise_promotes_no_more_often_than_the_confidence_says(rivals: int, photographs: int) -> None:
    """At 80 % a challenger's interval lies above zero in 10 % of all worlds without a difference. So many worlds are
    drawn that the plain percentile interval over 8 photographs (about 13 %) and three rivals without Bonferroni's
    correction (about 25 %) would be caught."""
    rng, worlds, promoted, plain = np.random.default_rng(5), 1000, 0, 0
    names = [str(number) for number in range(photographs)]
    for _ in range(worlds):
        champion = rng.normal(0, 1, photographs)
        values = rng.normal(0, 1, (rivals, photographs))
        promoted += any(gain(own, champion, names, 1, 1 - 0.2 / rivals).low > 0 for own in values)
        plain += any(paired(own, champion, names, 2, 0.8).low > 0 for own in values)
    error = 2 * (0.1 * 0.9 / worlds) ** 0.5  # two standard errors of the count
    assert promoted / worlds <= 0.10 + error
    assert (rivals, photographs) == (1, 12) or plain / worlds > 0.10 + error


def test_the_interval_is_widened_for_few_photographs() -> None:
    assert widened(0.95, 5) == pytest.approx(0.99809, abs=1e-4)  # t_4 = 2.7764, times sqrt(5 / 4)
    assert 0.95 < widened(0.95, 1000) < 0.951


def test_a_stored_champion_is_scored_under_its_own_name(tmp_path: Path) -> None:
    champion = {"run": "vdsr", "weights_sha256": "older", "scored_as": "champion"}
    runs = {"champion": {"psnr_y": BASE}, "vdsr": {"psnr_y": steady(1)}, "srcnn": {"psnr_y": steady(0.5)}}
    decision = ask(tmp_path, runs, champion)
    assert decision.promoted and decision.run == "vdsr" and decision.compared_with == "champion"
    assert decision.weights_sha256 == "sha-vdsr"
    assert decision.sentence.startswith("vdsr trained anew (sha-vdsr) replaces vdsr: psnr_y +1")


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
    ({"minimum_gain": {"inpaintin": 1}}, "Did you mean 'inpainting'"),
    ({"metric": "psnr_hol"}, "Did you mean 'psnr_hole'"),
    ({"metric": {"inpaintin": "l1"}}, "Did you mean 'inpainting'"), ({"canaries": 1}, "true or false"),
    ({"margins": {"inpainting": {"ssim_hol": 1}}}, "Did you mean 'ssim_hole'"), ({"max_parameters": 0}, "above 0"),
    ({"margins": {"inpainting": {"ssim": -1}}}, "at least 0"), ({"margins": {"ssim": 1}}, "mapping from tasks"),
    ({"max_megabytes": "x"}, "above 0"), ({"canary_tolerance": -1}, "at least 0"),
    ({"min_photographs": 0}, "at least 2")])
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(UserError, match=word):
        resolve("inpainting", settings)


def test_odd_calls(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="profile"):
        ask(tmp_path, {"bicubic": {}}, profile="big")
    empty = made.rows("super_resolution", {"bicubic": {}}).iloc[:0]
    assert "no score rows" in decide("super_resolution", pandas.DataFrame(empty), tmp_path, None, {},
                                     profile="cpu").sentence
