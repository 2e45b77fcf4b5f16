import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml.evaluation.tables import tied
from restore_ml.report.board import MARGIN, WIDTH, scale
from restore_ml.report.curves import POINTS, learning_curves, means
from restore_ml.report.svg import Axis, line
from restore_ml.report.timeline import history
from restore_ml.tasks.protocol import protocol


def row(rank: float, best: float, low: float, high: float) -> dict[str, Any]:
    return {"rank": rank, "vs_best": best, "vs_best_low": low, "vs_best_high": high}


def test_a_run_is_tied_when_its_interval_holds_nought() -> None:
    assert tied(row(2, -0.2, -0.5, 0.1)) and tied(row(3, -0.2, -0.5, 0.0))
    assert not tied(row(2, -0.2, -0.5, -0.1)) and not tied(row(1, 0, 0, 0))
    assert not tied(row(2, -0.2, math.nan, math.nan)), "one photograph says nothing"
    assert not tied(row(math.nan, -0.2, -0.5, 0.1)), "a run that failed on a picture has no rank"


def test_one_hopeless_run_does_not_press_the_others_together() -> None:
    axis = scale([row(1, 0, 0, 0), row(2, -0.2, -0.5, 0.1), row(3, -0.3, -0.6, -0.1), row(4, -50, -60, -40)])
    assert axis.place(0) - axis.place(-0.5) > 0.2 * WIDTH and axis.place(-50) == MARGIN


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_all_is_drawn_inside(values: list[float]) -> None:
    board = scale([row(place + 1, value, value - 1, value + 1) for place, value in enumerate(values)])
    assert all(MARGIN <= board.place(value) <= WIDTH - MARGIN for value in (*values, 0.0))
    axis = Axis.around(values, 132.0, 16.0)
    assert all(16 <= axis.place(value) <= 132 for value in values)
    assert all(16 <= tick["place"] <= 132 for tick in axis.ticks())


def test_axes_have_round_ticks() -> None:
    assert [tick["text"] for tick in Axis.around([0.0, 0.8], 0, 9).ticks()] == ["0", "0.2", "0.4", "0.6", "0.8"]
    assert [tick["text"] for tick in Axis.around([0.004, 90.0], 0, 9).ticks()] == ["0.01", "0.1", "1", "10", "100"]
    assert len(Axis.around([5.0], 0, 9).ticks()) >= 2 and len(Axis.around([0.0, 0.0], 0, 9).ticks()) >= 2


def test_values_lie_where_they_should() -> None:
    axis = Axis(-1.0, 3.0, 0.0, 100.0)
    assert [axis.place(value) for value in (-1, 0, 1, 3, 99)] == [0, 25, 50, 100, 100]
    assert axis.bar(2.0) == {"from": 25, "length": 50, "better": True}
    assert axis.bar(-0.5) == {"from": 12.5, "length": 12.5, "better": False}
    upright = Axis.around([2.0, -1.0], 62.0, 2.0, zero=True)  # drawn from the bottom up
    assert upright.bar(2.0) == {"from": 2, "length": 40, "better": True} and upright.bar(-1.0)["from"] == 42
    assert Axis(0, 4, 10.0, 50.0, logarithmic=True).place(100.0) == 30
    assert line([(0, -1), (10, 3)], Axis(0, 10, 0, 20), axis) == "0.0,0.0 20.0,100.0"
    assert Axis.around([0.0], 0.0, 100.0, zero=True).bar(0.0)["length"] == 0


def test_curves_are_means_and_nothing_is_left_out() -> None:
    points = [(step, float(step % 7)) for step in range(10_000)]
    found = means(points, 10_000)
    assert len(found) == POINTS
    assert sum(value for _, value in found) / POINTS == pytest.approx(sum(value for _, value in points) / 1e4, rel=0.01)
    assert means([(0, 1.0), (9, 2.0)], 10) == [(0.0, 1.0), (9.0, 2.0)]


def test_a_chart_for_each_player_with_its_phases(tmp_path: Path) -> None:
    folder = tmp_path / "models/super_resolution/run"
    folder.mkdir(parents=True)
    folder.joinpath("history.csv").write_text(
        "phase,step,term,value\nwarm,0,net.l1,1\nwarm,9,net.l1,0.5\nmain,0,net.l1,0.4\nmain,0,judge.real,0.7\n"
        "main,4,judge.fake,nan\nmain,4,judge.real,0.6\nmain,5,judge.re")
    run = learning_curves(tmp_path, "super_resolution", ["none", "run"])[0]
    assert run["run"] == "run" and [chart["player"] for chart in run["charts"]] == ["net", "judge"]
    net, judge = run["charts"]
    assert [(band["name"], band["steps"]) for band in net["bands"]] == [("warm", 10), ("main", 5)]
    assert [len(term["lines"]) for term in net["terms"]] == [2] and net["terms"][0]["last"] == "0.4"
    assert [term["name"] for term in judge["terms"]] == ["real"] and judge["terms"][0]["last"] == "0.6"


def decision(**changes: Any) -> dict[str, Any]:
    return {"task": "super_resolution", "promoted": True, "run": "vdsr", "champion": "bicubic", "case": "photos/x2",
            "sentence": "vdsr replaces bicubic.", "metric": "psnr_y", "value": 32.5, "compared_with": "bicubic",
            "gain": {"mean": 0.9, "low": 0.5, "high": 1.2}, "wins": 2, "losses": 1, "refused": {"x": "it failed"},
            "pictures": [{"picture": str(place), "name": f"p{place}", "challenger": 30 + gain, "champion": 30}
                         for place, gain in enumerate((1.0, 2.0, -0.5))], "rule": {"confidence": 0.95}, **changes}


def test_the_history_is_newest_first_and_each_decision_once(tmp_path: Path) -> None:
    home = tmp_path / "champions/super_resolution"
    rules = protocol("super_resolution")
    assert history(tmp_path, "super_resolution", rules) == []
    texts = {"previous/decision.json": decision(run="bicubic", sentence="bicubic becomes the first champion."),
             "champion/decision.json": decision()}
    for name, facts in texts.items():
        (home / name).parent.mkdir(parents=True)
        (home / name).write_text(json.dumps(facts))
    found = history(tmp_path, "super_resolution", rules)
    assert [entry["run"] for entry in found] == ["vdsr", "bicubic"] and found[0]["present"]
    assert found[0]["gain"] == "+0.90 [+0.50, +1.20]" and found[0]["against"] == "bicubic"
    assert [bar["better"] for bar in found[0]["bars"]["bars"]] == [True, True, False]
    (home / "history").mkdir()
    for name, facts in (("0001", texts["previous/decision.json"]), ("0002", texts["champion/decision.json"]),
                        ("0003", decision(promoted=False, kind="kept", sentence="vdsr stays."))):
        (home / f"history/{name}.json").write_text(json.dumps(facts, indent=2))
    (home / "history/0004.json").write_text("[]")
    (home / "history/0005.json").write_text("{")
    (home / "history/0006.json").write_text('{"sentence": "Nobody knows.", "gain": null}')
    found = history(tmp_path, "super_resolution", rules)
    assert [entry["sentence"] for entry in found] == ["Nobody knows.", "vdsr stays.", "vdsr replaces bicubic.",
                                                      "bicubic becomes the first champion."]
    assert [entry["present"] for entry in found] == [False, False, True, False]


def test_the_leaderboard_marks_ties_and_the_baseline() -> None:
    from restore_ml.report.board import board

    rules = protocol("super_resolution")
    base = {"case": "photos/x2", "primary": True, "synthetic": False, "pictures": 12, "groups": 6, "method": "m",
            "status": "ok", "reason": "", "reading": "", "wins": 1, "baseline": "bicubic", "pictures_ok": 12,
            "parameters": 5.0, "training_ops": math.nan, "ms_per_megapixel": 12.0, "training_seconds": math.nan,
            "peak_memory_mb": math.nan, "vs_baseline": 0.1, "vs_baseline_low": 0.0, "vs_baseline_high": 0.2,
            "psnr_y_low": 30.0, "psnr_y_high": 33.0, **{metric.name: 31.5 for metric in rules.metrics}}
    table = pd.DataFrame([{**base, "run": "a", **row(1, 0, 0, 0)}, {**base, "run": "b", **row(2, -0.1, -0.3, 0.1)},
                          {**base, "run": "bicubic", **row(3, -0.5, -0.9, -0.2)},
                          {**base, "run": "c", "status": "failed", "reason": "why", **row(math.nan, *[math.nan] * 3)}])
    made = board(rules, table, "a")
    assert made["ties"] == 1 and [entry["tied"] for entry in made["rows"]] == [False, True, False, False]
    assert [entry["baseline"] for entry in made["rows"]] == [False, False, True, False]
    assert made["rows"][0]["drawing"]["leads"] and made["rows"][3]["drawing"] is None
    assert made["rows"][1]["drawing"]["text"] == "-0.10 [-0.30, +0.10]"
    assert len(made["rows"][0]["cells"]) == len(made["headings"]) - 1
    assert not made["alone"] and board(rules, table.assign(groups=1), "a")["alone"]  # one place has no interval
