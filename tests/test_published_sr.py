"""The benchmark against printed figures: what is trained and for how long, what is kept, what the verdict is."""

import json
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from tests.test_benchmarks import ROOT


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import published_sr

    yield published_sr
    for name in ("published_sr", "sr_sets", "validation"):
        sys.modules.pop(name, None)


def picture(path: Path, number: int, side: int = 48) -> None:
    i, j = np.mgrid[:side, :side]
    planes = [127 + 90 * np.sin(i / (3 + number) + channel) * np.cos(j / 4) for channel in range(3)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack(planes, -1).astype(np.uint8)).save(path)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    for number in range(3):
        picture(folder / "train_t91" / f"t{number}.png", number)
    picture(folder / "train_bsd200_jpg" / "b.png", 5)
    for name in ("Set5", "Set14"):
        for scale in (2, 3, 4):
            picture(folder / "sr_selfexsr" / name / f"image_SRF_{scale}" / "img_001_HR.png", 9)
            picture(folder / "sr_selfexsr" / name / f"image_SRF_{scale}" / "img_001_LR.png", 9, 12)
    monkeypatch.setenv("RESTORE_ML_BENCHMARK_DATA", str(folder))
    return folder


def row(run: str, seed: int, value: float) -> dict:
    return {"asked": {"run": run, "seed": seed}, "method": run, "steps": 10 * seed, "seconds": 2.0, "parameters": 1234,
            "figures": {"Set5 x2": {"psnr": value, "ssim": 0.9}}}


def test_two_runs_from_pictures_to_the_table_and_nothing_is_trained_twice(bench, data, tmp_path, capsys):
    """VDSR is so small here that it takes part of a second; a call with other minutes trains anew."""
    chosen = tmp_path / "chosen.yaml"
    chosen.write_text("seeds: {vdsr: 2}\nsettings: {vdsr: {layers: 3, width: 4, batch: 2, patch: 24}}\n")
    asked = ["bicubic", "vdsr", "--out", str(tmp_path / "out"), "--settings", str(chosen), "--jobs", "0"]
    bench.main([*asked, "--minutes", "0.002"])
    printed = capsys.readouterr().out
    assert "4 training pictures are made ready" in printed and "3 trainings, 0 of them are done" in printed
    kept = {path.name: json.loads(path.read_text()) for path in (tmp_path / "out/rows").iterdir()}
    assert set(kept) == {"bicubic-1.json", "vdsr-1.json", "vdsr-2.json"}
    assert kept["bicubic-1.json"]["steps"] is None and kept["vdsr-1.json"]["steps"] > 1
    assert kept["vdsr-1.json"]["figures"] != kept["vdsr-2.json"]["figures"]
    assert set(kept["vdsr-1.json"]["figures"]) == {
        f"{name} x{scale}" for name in ("Set5", "Set14") for scale in (2, 3, 4)}
    lines = [line for line in printed.splitlines() if line.startswith("| bicubic")]
    assert "/ 33.66 |" in lines[0] and "/ 0.930 |" in lines[1], "printed beside measured"
    vdsr = next(line for line in printed.splitlines() if line.startswith("| vdsr"))
    assert " ± " in vdsr and vdsr.endswith("/ 28.01 |") and vdsr.startswith("| vdsr | 2 |")
    assert "Set5 x2: " in printed and "bicubic < vdsr" in printed
    bench.main([*asked, "--minutes", "0.002"])
    again = capsys.readouterr().out
    assert "3 trainings, 3 of them are done" in again
    assert again[again.index("| run |"):] == printed[printed.index("| run |"):]
    bench.main([*asked[:1], *asked[2:], "--minutes", "0.003"])
    assert "1 trainings, 0 of them are done" in capsys.readouterr().out, "it was asked for otherwise"


def test_what_is_missing_is_a_sentence(bench, data, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="super_resolution has no run vdrs; it has"):
        bench.main(["vdrs", "--out", str(tmp_path / "out")])
    monkeypatch.setenv("RESTORE_ML_BENCHMARK_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match=r"in .* there is no train_t91 and no train_bsd200_jpg and no sr_selfexsr"):
        bench.main(["--out", str(tmp_path / "out")])
    monkeypatch.delenv("RESTORE_ML_BENCHMARK_DATA")
    with pytest.raises(SystemExit, match="it is not set"):
        bench.main(["--out", str(tmp_path / "out")])


def test_steps_fill_the_time_whatever_their_phases_cost(bench):
    assert bench.fitting(600, {"train": 0.5}, 100.0) == 200
    assert bench.fitting({"pixel": 300, "gan": 100}, {"pixel": 0.1, "gan": 0.7}, 50.0) == {"pixel": 150, "gan": 50}
    clock = bench.Clock()
    marks = iter([5.0, 5.2, 5.4, 9.0, 9.5])
    bench.time = type("Time", (), {"process_time": staticmethod(lambda: next(marks)), "monotonic": lambda: 0.0})
    for phase, done in (("pixel", 1), ("pixel", 2), ("pixel", 3), ("gan", 1), ("gan", 2)):
        clock(phase, done, 3, 0.1)
    assert clock.a_step() == {"pixel": pytest.approx(0.2), "gan": pytest.approx(0.5)}


def test_the_order_is_shown_refuted_or_not_told_apart_by_the_seeds(bench):
    rows = [row("bicubic", 1, 33.6), *(row("vdsr_bnn", seed, 34.0 + seed / 100) for seed in (1, 2, 3)),
            *(row("vdsr_dorefa", seed, 34.0 + seed / 50) for seed in (1, 2, 3)),
            *(row("vdsr_abc", seed, 33.9) for seed in (1, 2, 3)), *(row("vdsr_bam", seed, 35.0) for seed in (1, 2)),
            row("vdsr", 1, 37.0)]
    lines = list(bench.order(rows))
    assert lines[0] == "The printed order: bicubic < vdsr_bnn < vdsr_dorefa < vdsr_abc < vdsr_bam < vdsr."
    assert lines[1] == ("Set5 x2: refuted. bicubic < vdsr_bnn shown (+0.42 dB); vdsr_bnn < vdsr_dorefa not told apart "
                        "(+0.02 dB); vdsr_dorefa < vdsr_abc refuted (-0.14 dB); vdsr_abc < vdsr_bam shown (+1.10 dB); "
                        "vdsr_bam < vdsr shown (+2.00 dB).")
    assert "not measured" in lines[2]
    better = [entry for entry in rows if entry["asked"]["run"] not in ("vdsr_dorefa", "vdsr_abc")]
    assert list(bench.order(better))[1].startswith("Set5 x2: not shown as a whole."), "two of them are not there"
    whole = [*better, row("vdsr_dorefa", 1, 34.5), row("vdsr_abc", 1, 34.7)]
    assert list(bench.order(whole))[1].startswith("Set5 x2: shown.")
    assert list(bench.order(rows[:1])) == []


def test_cells_have_the_mean_the_spread_and_what_is_printed(bench):
    own = [row("vdsr_bam", seed, 36.0 + seed / 10) for seed in (1, 2, 3)]
    assert bench.cell(own, "Set5 x2", "psnr", 2) == "36.20 ± 0.10 / 36.60"
    assert bench.cell(own, "Set14 x4", "psnr", 2) == "– / 27.46"
    assert bench.cell([row("rapid_sr", 1, 37.0)], "Set5 x2", "psnr", 2) == "37.00"
    assert bench.cell([row("vdsr_abc", 1, 37.0)], "Set14 x4", "psnr", 2) == "– / 29.63 (misprint)"
    assert all(map(math.isnan, bench.over_seeds(own, "Set14 x4", "psnr")))
    assert list(bench.by_run([*own, row("another", 1, 1.0), row("vdsr", 1, 1.0), row("bicubic", 1, 1.0)])) == [
        "bicubic", "vdsr_bam", "vdsr", "another"]
