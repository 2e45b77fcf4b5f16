"""Printed figures: what the data says, and where one may stand beside a measured one."""

from __future__ import annotations

import csv
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from restore_ml.data.domain import identity
from restore_ml.data.pictures import read_picture
from restore_ml.data.shards import Record
from restore_ml.degradations.resize import imresize
from restore_ml.evaluation import published
from restore_ml.evaluation.comparison import build_table, compare, printed_by_case
from restore_ml.evaluation.published import Agreement, agreeing, blocks, figures, fingerprint, with_printed
from restore_ml.registry import tables
from restore_ml.tasks.protocol import protocol
from restore_ml.tasks.super_resolution.cases import CASES
from tests.evaluation import made

PICTURES = [f"{number:064d}" for number in range(12)]


@pytest.fixture
def agreement(monkeypatch: pytest.MonkeyPatch) -> Agreement:
    """Our twelve pictures are Set5."""
    item = Agreement("super_resolution", "binary_sr", "Set5", "x2", fingerprint(PICTURES), "x2",
                     (("psnr", "psnr_y"), ("ssim", "ssim_y")))
    monkeypatch.setattr(published, "AGREEMENTS", (item,))
    return item


def test_the_data_is_facts_of_tasks_that_there_are() -> None:
    everything = published.everything()
    assert len(everything) == 442
    assert {figure.task for figure in everything} <= set(tables())
    assert {figure.source for figure in everything} <= set(published.SOURCES)
    assert {figure.kind for figure in everything} == {"figure", "gain", "misprint"}
    assert {figure.better for figure in everything} == {"higher", "lower", ""}
    assert {figure.bold for figure in everything} == {"0", "1"}
    assert all(float(figure.value) >= 0 and int(figure.line) > 0 and figure.method for figure in everything)
    keys = [(figure.table, figure.set, figure.case, figure.method, figure.metric) for figure in everything]
    assert len(set(keys)) == len(keys)
    vdsr = [figure for figure in everything if keys[everything.index(figure)][:3] == ("binary_sr", "Set5", "x4")
            and (figure.method, figure.metric) == ("vdsr", "psnr")]
    assert [(one.value, one.better, one.bold, one.line) for one in vdsr] == [("31.35", "higher", "0", "861")]
    assert {figure.table for figure in everything} == set(published.TITLES)
    text = resources.files("restore_ml.evaluation").joinpath("published.csv").read_text(encoding="utf-8")
    assert next(csv.reader(text.splitlines())) == list(vars(everything[0]))


def test_every_printed_table_says_why_it_agrees_or_does_not() -> None:
    for task in tables():
        for block in blocks(task):
            assert block.agrees and block.source.partition(", line")[0] in published.SOURCES.values()
    metrics = {name for entry in published.AGREEMENTS for _, name in entry.metrics}
    assert metrics <= {metric.name for metric in protocol("super_resolution").metrics}
    agreed = {(entry.set, entry.case) for entry in published.AGREEMENTS}
    assert agreed == {(name, f"x{scale}") for name in ("Set5", "B100") for scale in (2, 3, 4)}
    assert not {name for name, _ in agreed} & {name for _, name in published.APART}


def test_a_figure_agrees_only_with_the_same_pictures_case_and_metric(agreement: Agreement) -> None:
    found = agreeing("super_resolution", "holiday/x2", PICTURES[::-1])
    assert found["vdsr", "psnr_y"] == "37.53" and found["bicubic", "ssim_y"] == "0.930", "digits as printed"
    assert {metric for _, metric in found} == {"psnr_y", "ssim_y"} and len(found) == 12
    assert agreeing("super_resolution", "Set5/x2", PICTURES[1:]) == {}, "one picture is missing"
    assert agreeing("super_resolution", "Set5/x2", [*PICTURES, "f" * 64]) == {}
    assert agreeing("super_resolution", "holiday/x3", PICTURES) == {}
    assert agreeing("super_resolution", "holiday/x2_noise", PICTURES) == {}
    assert agreeing("face_super_resolution", "holiday/x2", PICTURES) == {}


def test_misprints_and_gains_never_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    items = tuple(Agreement("super_resolution", table, name, case, fingerprint(PICTURES), "x4", ((metric, "psnr_y"),))
                  for table, name, case, metric in (("binary_sr", "Set14", "x4", "psnr"),
                                                    ("bam_claim", "Set5", "x2", "psnr_gain_over_best_binary_db")))
    monkeypatch.setattr(published, "AGREEMENTS", items)
    found = agreeing("super_resolution", "photos/x4", PICTURES)
    assert ("vdsr_abc", "psnr_y") not in found and found["vdsr", "psnr_y"] == "28.01"
    assert "1.25" not in found.values()


def test_the_fingerprint_is_of_the_set_and_not_of_its_order() -> None:
    assert fingerprint(["b", "a", "a"]) == fingerprint(["a", "b"]) != fingerprint(["ab"])


def test_a_measured_cell_shows_its_printed_figure() -> None:
    printed = {("bicubic", "psnr_y"): "33.66"}
    assert with_printed("33.68", printed, "bicubic", "psnr_y") == "33.68 (printed 33.66)"
    assert with_printed("33.68", printed, "super_resolution.bicubic", "psnr_y") == "33.68 (printed 33.66)"
    assert with_printed("33.68", printed, "vdsr", "psnr_y") == "33.68" == with_printed("33.68", {}, "bicubic", "psnr_y")


def test_the_table_has_the_printed_figures_where_they_agree_and_the_block(agreement: Agreement, tmp_path: Path) -> None:
    runs = {"bicubic": {"psnr_y": 33.68, "ssim_y": 0.9305}, "vdsr": {"psnr_y": 36.1}, "rapid_sr": {"psnr_y": 37.2}}
    rows = made.rows("super_resolution", runs, case="mine/x2")
    for run in runs:
        made.model(tmp_path, run)
    compare("super_resolution", rows, made.about(tmp_path), tmp_path / "out")
    text = (tmp_path / "out/table.md").read_text()
    measured, _, block = text.partition("## As printed")
    line = next(line for line in measured.splitlines() if "| bicubic |" in line)
    assert "33.68, 33.68] (printed 33.66)" in line and "| 0.9305 (printed 0.930) |" in line
    assert "printed" not in next(line for line in measured.splitlines() if "| rapid_sr |" in line)
    assert "| vdsr_bam | **36.60** | **0.953** |" in block and "29.63 (misprint)" in block
    assert list(printed_by_case("super_resolution", rows)) == ["mine/x2"]
    other = made.rows("super_resolution", runs, pictures=11, case="mine/x2")
    compare("super_resolution", other, made.about(tmp_path), tmp_path / "other")
    measured, _, block = (tmp_path / "other/table.md").read_text().partition("## As printed")
    assert "printed" not in measured and "37.53" in block


def test_a_task_without_printed_figures_has_no_block(tmp_path: Path) -> None:
    assert blocks("inpainting") == [] and figures("inpainting") == () and published.digest("inpainting") == ""
    rows = made.rows("inpainting", {"telea": {}})
    from restore_ml.evaluation.tables import markdown
    assert "As printed" not in markdown("inpainting", build_table("inpainting", rows, {}))
    assert published.digest("super_resolution") != published.digest("sketch_photo") != ""


@pytest.mark.benchmark_data
@pytest.mark.parametrize(("name", "folder"), [("Set5", "sr_selfexsr/Set5"), ("B100", "BSD100")])
def test_bicubic_reads_what_is_printed_where_a_set_agrees(benchmark_data: Path, name: str, folder: str) -> None:
    """The agreement is evidence: on these very pictures the task's own measure gives the printed row of bicubic."""
    paths = sorted((benchmark_data / folder / "image_SRF_2").glob("*_HR.png"))
    if not paths:
        pytest.skip(f"The benchmark folder has no {folder}.")
    records = [Record(identity({"image": array}), {"image": array}) for array in map(read_picture, paths)]
    rules = protocol("super_resolution")
    for degradation in ("x2", "x3", "x4"):
        printed = agreeing("super_resolution", f"mine/{degradation}", [record.id for record in records])
        if not printed:
            continue  # B100 by 3 is cut to other sides
        values = []
        for record in records:
            sample = CASES.sample(record, degradation, 1, {"scales": [2, 3, 4], "variants": []})
            enlarged = imresize(sample.inputs["lr"], output_size=sample.target["hr"].shape[:2])
            values.append(rules.measure(sample.inputs, {"sr": enlarged}, sample.target, None))
        for metric, within in (("psnr_y", 0.025), ("ssim_y", 0.0015)):
            mean = float(np.mean([value[metric] for value in values]))
            assert mean == pytest.approx(float(printed["bicubic", metric]), abs=within), (degradation, metric)
    assert {key: bool(agreeing("super_resolution", f"mine/{key}", [record.id for record in records]))
            for key in ("x2", "x3", "x4")} == {"x2": True, "x3": name == "Set5", "x4": True}
