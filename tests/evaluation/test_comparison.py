"""Tables from score rows: right figures, failed runs kept, the same bytes again, costs only for display."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from restore_ml.base import layout
from restore_ml.base.files import sha256_of_file, write_json, write_text
from restore_ml.evaluation.comparison import build_table, compare, join_costs, metrics_json
from restore_ml.evaluation.statistics import paired
from restore_ml.evaluation.tables import console_table, count, interval
from restore_ml.tasks.protocol import protocol
from tests.evaluation import made

RNG = np.random.default_rng(0)
BASE = RNG.normal(28, 4, 12)


def some(models: Path) -> pandas.DataFrame:
    """Two cases of five runs: one failed, one failed on a picture."""
    good, better = BASE + RNG.normal(1, 0.3, 12), BASE + RNG.normal(2, 0.3, 12)
    half = ["failed" if number == 4 else "ok" for number in range(12)]
    runs: dict[str, dict[str, Any]] = {
            "bicubic": {"psnr_y": BASE}, "vdsr": {"psnr_y": better}, "srcnn": {"psnr_y": good},
            "broken": {"status": "failed", "reason": "loss is | NaN\nat step 3"},
            "partial": {"psnr_y": BASE + 9, "status": half, "reason": "RuntimeError: odd size"}}
    for run in runs:
        made.model(models, run, parameters_total=0 if run == "bicubic" else 664_704,
                   training_ops=0 if run == "bicubic" else 12_345_678_901_234,
                   reading="the depth is our choice" if run == "srcnn" else "")
    other: dict[str, dict[str, Any]] = {"bicubic": {"psnr_y": BASE - 5},
                                        "vdsr": {"status": "unsupported", "reason": "made for x2"}}
    return pandas.concat([made.rows("super_resolution", other, case="photos/x3"),
                          made.rows("super_resolution", runs)], ignore_index=True)


def test_forty_rows_fit_a_terminal_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    names = ["bicubic", *(f"run_{n}" for n in range(38)), "a_residual_network_with_a_name_of_more_than_forty_letters"]
    runs: dict[str, dict[str, Any]] = {name: {"psnr_y": BASE + place / 10} for place, name in enumerate(names)}
    runs |= {f"broken_{number}": {"status": "failed", "reason": "diverged at step 3"} for number in range(9)}
    runs |= {f"other_{number}": {"status": "unsupported", "reason": "made for x4"} for number in range(3)}
    table = build_table("super_resolution", made.rows("super_resolution", runs), made.about(tmp_path))
    table = join_costs(table, "super_resolution", tmp_path)
    lines = console_table("super_resolution", table, most=20).splitlines()
    assert max(map(len, lines)) <= 120
    assert [line.split()[0] for line in lines[2:22]] == [str(rank) for rank in (*range(1, 20), 40)], "and the baseline"
    assert lines[21].split()[1] == "bicubic"
    assert lines[22] == "20 more runs: `restore-ml compare super_resolution` prints them all."
    assert lines[23].startswith("Not shown: ms_ssim_rgb, ifc_freq, fsim; ") and "table.md" in lines[23]
    assert lines[24:] == ["broken_0, broken_1, broken_2 and 6 more: failed, diverged at step 3",
                          "other_0, other_1, other_2: unsupported, made for x4"]
    whole = console_table("super_resolution", table).splitlines()
    assert len(whole) == 2 + 40 + 3 and max(map(len, whole)) <= 120
    assert whole[2].split()[1].startswith("a_residual_") and whole[2].split()[1].endswith("forty_letters")


def test_rows_of_the_table(tmp_path: Path) -> None:
    scores = some(tmp_path)
    table = build_table("super_resolution", scores, made.about(tmp_path))
    first = table[table["primary"]].set_index("run")
    assert list(table["case"].unique()) == ["photos/x2", "photos/x3"]
    assert list(first.index) == ["vdsr", "srcnn", "bicubic", "partial", "broken"]
    assert first["rank"].tolist()[:3] == [1, 2, 3] and first["rank"][3:].isna().all()
    values = {run: rows["psnr_y"].to_numpy() for run, rows in scores[scores["case"] == "photos/x2"].groupby("run")}
    groups = [f"photo{number % 6}" for number in range(12)]
    gain = paired(values["vdsr"], values["bicubic"], groups, 1)
    row = first.loc["vdsr"]
    assert row["psnr_y"] == pytest.approx(values["vdsr"].mean())
    assert row["psnr_y_low"] < row["psnr_y"] < row["psnr_y_high"]
    assert (row["vs_baseline"], row["vs_baseline_low"], row["vs_baseline_high"]) == (gain.mean, gain.low, gain.high)
    assert row["vs_best"] == 0 and first.loc["srcnn", "vs_best"] < 0
    assert first.loc["bicubic", "vs_baseline"] == 0 and row["baseline"] == "bicubic"
    assert (row["pictures"], row["groups"], row["status"]) == (12, 6, "ok")
    assert first.loc["partial", "status"] == "partly failed" and first.loc["partial", "pictures_ok"] == 11
    assert first.loc["partial", "reason"] == "1 of 12 pictures: RuntimeError: odd size"
    assert math.isnan(first.loc["broken", "psnr_y"]) and first.loc["broken", "status"] == "failed"
    second = table[table["case"] == "photos/x3"].set_index("run")
    assert second.loc["vdsr", "status"] == "unsupported"


def test_a_picture_without_a_figure_does_not_unrank(tmp_path: Path) -> None:
    undefined = np.where(np.arange(12) == 5, math.nan, BASE)  # nothing was missing in that picture
    rows = made.rows("inpainting", {"telea": {"psnr_hole": undefined}, "glcic": {"psnr_hole": undefined + 1}})
    table = build_table("inpainting", rows, made.about(tmp_path)).set_index("run")
    assert table["rank"].tolist() == [1, 2] and list(table.index) == ["glcic", "telea"]
    assert table.loc["telea", "psnr_hole"] == pytest.approx(np.nanmean(undefined))
    assert table.loc["glcic", "vs_baseline"] == pytest.approx(1) and table.loc["glcic", "wins"] == 11


def test_a_flat_page_decides_no_mean_and_the_table_says_so(tmp_path: Path) -> None:
    from restore_ml.metrics.fidelity import psnr
    from restore_ml.tasks.protocol import capped

    page = np.full((100, 100), 255, np.uint8)
    dotted = page.copy()
    dotted[0, :50] = 254  # 50 of 10,000 pixels off by one level: 10 log10(255^2 / 0.005) = 71.1 dB, and nobody sees it
    assert psnr(dotted, page) == pytest.approx(71.1, abs=0.05)
    left_alone, better = capped(psnr(page, page)), np.append(BASE[:11] + 0.5, capped(psnr(dotted, page)))
    rows = made.rows("super_resolution", {"bicubic": {"psnr_y": np.append(BASE[:11], left_alone)},
                                          "vdsr": {"psnr_y": better}})
    table = build_table("super_resolution", rows, made.about(tmp_path)).set_index("run")
    assert table.index[0] == "vdsr", "it is better on every picture on which a difference can be seen"
    assert table.loc["vdsr", "vs_baseline"] == pytest.approx(0.5 * 11 / 12) and list(table["capped"]) == [1, 1]
    text = compare("super_resolution", rows, made.about(tmp_path), tmp_path / "out")
    assert "at most 60 dB in psnr_y" in (tmp_path / "out/table.md").read_text() and len(text) == 2
    assert "up to 1 of the 12 pictures" in console_table("super_resolution", text)
    compare("super_resolution", some(tmp_path), made.about(tmp_path), tmp_path / "out")
    assert "at most 60 dB" not in (tmp_path / "out/table.md").read_text()


def test_lower_is_better_where_the_protocol_says_so(tmp_path: Path) -> None:
    class Reversed(type(protocol("super_resolution"))):  # type: ignore[misc]
        primary = "rmse"

    from restore_ml.evaluation import comparison
    from restore_ml.tasks.protocol import Metric

    Reversed.metrics = (Metric("rmse", -1), *Reversed.metrics)
    scores = made.rows("super_resolution", {"bicubic": {}, "vdsr": {}})
    scores["rmse"] = np.where(scores["run"] == "vdsr", 1.0, 3.0)
    rows = comparison._case_rows(Reversed(), scores, {run: comparison.model_facts(tmp_path, run) for run in
                                                      ("bicubic", "vdsr")}, "bicubic", True)
    assert [(row["run"], row["rank"], row["vs_baseline"]) for row in rows] == [("vdsr", 1, 2.0), ("bicubic", 2, 0.0)]


def test_files_are_the_same_bytes_again_and_whole(tmp_path: Path) -> None:
    scores = some(tmp_path / "models")
    write_text(tmp_path / "models/vdsr/history.csv", "phase,step,term,value\ntrain,0,l2,1.5\ntrain,9,l2,0.25\n")
    about = made.about(tmp_path / "models")
    compare("super_resolution", scores, about, tmp_path / "one")
    compare("super_resolution", scores.sample(frac=1, random_state=1), about, tmp_path / "two")
    names = sorted(path.relative_to(tmp_path / "one").as_posix() for path in (tmp_path / "one").rglob("*.*"))
    assert names == ["metrics.json", "plots/curves.csv", "plots/primary.csv", "table.csv", "table.md"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    metrics = json.loads((tmp_path / "one/metrics.json").read_text())
    assert metrics["psnr_y"]["bicubic"] == pytest.approx(BASE.mean(), abs=1e-6)
    assert "broken" not in metrics["psnr_y"]
    curves = pandas.read_csv(tmp_path / "one/plots/curves.csv")
    assert curves.to_dict("list") == {"run": ["vdsr"] * 2, "phase": ["train"] * 2, "step": [0, 9],
                                      "term": ["l2"] * 2, "value": [1.5, 0.25]}
    read = pandas.read_csv(tmp_path / "one/table.csv")
    assert set(read.loc[read["run"] == "vdsr", "training_ops"]) == {12_345_678_901_234}
    plot = pandas.read_csv(tmp_path / "one/plots/primary.csv")
    assert set(plot["run"]) == {"bicubic", "vdsr", "srcnn", "partial"}


def test_markdown_shows_failures_readings_and_synthetic_cases(tmp_path: Path) -> None:
    compare("super_resolution", some(tmp_path), made.about(tmp_path), tmp_path / "out")
    text = (tmp_path / "out/table.md").read_text()
    assert "## photos/x2 (primary case)" in text and text.index("photos/x2") < text.index("## photos/x3")
    assert "| srcnn † |" in text and "- srcnn: the depth is our choice" in text
    assert "failed: loss is \\| NaN at step 3 |" in text
    assert "665k" in text and "12.3T" in text and "unsupported: made for x2" in text
    tables = [line for line in text.partition("## As printed")[0].splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in tables}) == 1
    scenes = made.rows("cloud_removal", {"rs_direct": {"psnr_hole": 20}}, synthetic=True)
    compare("cloud_removal", scenes, made.about(tmp_path), tmp_path / "clouds")
    assert "scenes/cloud_20 (primary case) (synthetic)" in (tmp_path / "clouds/table.md").read_text()


def test_console_table_fits_and_names_what_failed(tmp_path: Path) -> None:
    scores = some(tmp_path / "models")
    long = made.rows("super_resolution", {"a_run_with_quite_a_long_name_" * 4: {"psnr_y": BASE}})
    both = pandas.concat([scores, long], ignore_index=True)
    table = build_table("super_resolution", both, made.about(tmp_path / "models"))
    for shown in (table, join_costs(table, "super_resolution", tmp_path)):
        text = console_table("super_resolution", shown)
        assert max(len(line) for line in text.splitlines()) <= 120
        assert "broken: failed, loss is" in text and "12 pictures of 6 photographs" in text
        assert [line.split()[0] for line in text.splitlines()[2:5]] == ["1", "2", "3"]
    assert "train s" in text
    assert "vdsr: unsupported, made for x2" in console_table("super_resolution", table, "photos/x3")
    assert "nothing was scored" in console_table("super_resolution", table, "set5/x9")


def test_costs_are_found_by_what_they_measured(tmp_path: Path) -> None:
    scores = made.rows("super_resolution", {"bicubic": {"psnr_y": BASE}, "vdsr": {"psnr_y": BASE + 1}})
    models = tmp_path / layout.models("super_resolution")
    status = tmp_path / layout.restored("super_resolution", "vdsr") / "status.json"
    made.model(models, "vdsr")
    write_json(status, {"run": "vdsr", "status": "ok", "cases": {}})
    for kind, path, facts in (("train", models / "vdsr/model.json", {"seconds": 61.5, "peak_memory_mb": 700}),
                              ("restore", status, {"ms_per_megapixel": 88.0, "peak_memory_mb": 900})):
        write_json(tmp_path / layout.COSTS / f"{kind}-{sha256_of_file(path)[:16]}.json", {**facts, "machine": "m"})
    table = build_table("super_resolution", scores, made.about(models))
    joined = join_costs(table, "super_resolution", tmp_path).set_index("run")
    assert joined.loc["vdsr", ["training_seconds", "ms_per_megapixel", "peak_memory_mb", "machine"]].tolist() == [
        61.5, 88.0, 900, "m"]
    assert joined.loc["bicubic", ["training_seconds", "peak_memory_mb"]].isna().all()
    assert "training_seconds" not in table
    made.model(models, "vdsr", weights_sha256="other")
    assert math.isnan(join_costs(table, "super_resolution", tmp_path).set_index("run").loc["vdsr", "training_seconds"])


def test_small_forms() -> None:
    assert [count(value) for value in (0, 999, 1000, 664_704, 2.5e12, math.nan)] == ["0", "999", "1k", "665k", "2.5T",
                                                                                    "–"]
    assert interval(1.234, math.nan, math.nan, 2) == "1.23"
    assert interval(1.234, 1, 2, 2, signed=True) == "+1.23 [+1.00, +2.00]"


def test_metrics_are_numbers_only(tmp_path: Path) -> None:
    table = build_table("super_resolution", some(tmp_path), made.about(tmp_path))
    json.dumps(metrics_json(protocol("super_resolution"), table), allow_nan=False)


def test_a_task_without_runs_has_an_empty_comparison(tmp_path: Path) -> None:
    none = made.rows("super_resolution", {"bicubic": {}}).iloc[:0]
    table = compare("super_resolution", none, made.about(tmp_path), tmp_path / "out")
    full = build_table("super_resolution", some(tmp_path), made.about(tmp_path))
    assert list(table.columns) == list(full.columns) and not full["pictures"].isna().any()
    assert "Nothing was scored." in (tmp_path / "out/table.md").read_text()
    assert json.loads((tmp_path / "out/metrics.json").read_text()) == {}
    assert pandas.read_csv(tmp_path / "out/table.csv").empty
    assert "nothing was scored" in console_table("super_resolution", join_costs(table, "super_resolution", tmp_path))


def test_a_task_may_name_another_case_as_the_one_that_ranks(tmp_path: Path) -> None:
    scores = some(tmp_path)
    own = build_table("super_resolution", scores, made.about(tmp_path))
    named = build_table("super_resolution", scores, made.about(tmp_path), "photos/x3")
    assert set(own.loc[own["primary"], "case"]) == {"photos/x2"} and own["case"].iloc[0] == "photos/x2"
    assert set(named.loc[named["primary"], "case"]) == {"photos/x3"} and named["case"].iloc[0] == "photos/x3"
    gone = build_table("super_resolution", scores, made.about(tmp_path), "photos/x9")
    assert set(gone.loc[gone["primary"], "case"]) == {"photos/x2"}
