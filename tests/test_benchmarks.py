"""The benchmarks say in a sentence what they lack, and print what they measure as it comes; no figure is judged."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def arguments(monkeypatch):
    return lambda *words: monkeypatch.setattr(sys, "argv", ["benchmark", *map(str, words)])


def test_the_walk_on_a_gpu_runs_on_the_processor_too(capsys, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    module("gpu").main(["--device", "cpu", "--settings", "quick", "--runs", "vdsr", "rs_direct"])
    printed = capsys.readouterr().out.splitlines()
    rows = [row.split(" | ") for row in printed if row.startswith(("| vdsr", "| rs_direct"))]
    # 3x3 convolutions on luminance, 1 -> 16, three of 16 -> 16, 16 -> 1, each with its biases
    assert rows[0][1:3] == ["super_resolution", f"{160 + 3 * 2320 + 145:,}"]
    assert rows[0][3].startswith("train ") and rows[0][5] == "none |"
    assert rows[1][5] == "trains nothing |"


def test_the_walk_on_a_gpu_keeps_to_its_time(capsys, monkeypatch):
    import time

    gpu = module("gpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    gpu.main(["--device", "cpu", "--settings", "quick", "--runs", "vdsr", "--seconds", "-1"])
    assert "| vdsr | super_resolution | out of time" in capsys.readouterr().out
    with pytest.raises(gpu.TooLong), gpu.limited(0.01):
        while True:
            time.sleep(1)


def test_the_walk_on_a_gpu_says_where_there_is_none(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="There is no GPU that torch sees here; `--device cpu"):
        module("gpu").main([])
    with pytest.raises(SystemExit, match=r"There is no run 'vdrs' in params.yaml"):
        module("gpu").main(["--device", "cpu", "--runs", "vdrs"])


def test_the_loader_is_compared_without_lmdb_where_that_is_not_installed(capsys, monkeypatch, arguments):
    loader, real = module("loader"), importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "lmdb" else real(name, *rest))
    monkeypatch.setitem(sys.modules, "lmdb", None)  # an import of it fails
    arguments("--pictures", 2, "--batches", 2, "--workers", 0)
    loader.main()
    printed = capsys.readouterr().out
    assert "LMDB is left out: the package lmdb is not installed; `pip install" in printed
    assert "| our shards |" in printed and "LMDB of PNGs" not in printed


@pytest.mark.parametrize("fast", [False, True])
def test_training_is_measured_row_by_row_and_in_bf16_only_where_that_is_fast(fast, tmp_path, monkeypatch):
    training, begun = module("training"), []

    def against(size, ours, rounds, folder, clock, precisions):
        begun.append(ours)
        names = [name for name in training.BARE if any(word in name for word in precisions)]
        return {name: [1.0, 1.0] for name in (ours, *names)}

    monkeypatch.setattr(training, "against", against)
    monkeypatch.setattr(training.checkpoint, "load", lambda path: ({}, {}))
    monkeypatch.setattr(training.checkpoint, "save", lambda path, *_: (path.parent.mkdir(), path.write_text("")))
    lines = training.table("tiny", 3, tmp_path, {"fp32": 1.0, **({"bf16": 1.0} if fast else {})}, lambda: 0.0)
    seen = [next(lines) for _ in range(3 + len([name for name in training.BARE if "fp32" in name]) + 1)]
    assert begun == ["ours, fp32"] and seen[-1].startswith("| ours, fp32 | 1000.00 | 1.000 | 1.00 |")
    rest = list(lines)
    assert any("bf16" in line for line in rest) is fast and len(begun) == (4 if fast else 1)


def test_training_says_that_bf16_is_left_out(capsys, monkeypatch, arguments):
    training = module("training")
    monkeypatch.setattr(training, "fast_cpu", lambda: False)
    monkeypatch.setattr(training, "peak", lambda dtype, clock: 1.0)
    monkeypatch.setattr(training, "table", lambda *_: iter(()))
    arguments("--threads", 1, "--networks", "tiny")
    training.main()
    assert "bf16 is left out: this processor is slow at it" in capsys.readouterr().out


def test_inference_says_that_there_is_nothing_to_measure(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("profile: quick\n")
    monkeypatch.setattr("restore_ml.base.layout.root", lambda: tmp_path)
    arguments()
    with pytest.raises(SystemExit, match=r"There is no champion in .* to measure; `make repro` builds one"):
        module("inference").main()
    arguments("--runs", "vdsr")
    with pytest.raises(SystemExit, match="There is no model of a run 'vdsr'"):
        module("inference").main()


def test_binary_networks_are_counted_and_timed_beside_their_parent(capsys):
    module("binary").main(["--layers", "4", "--width", "8", "--side", "16", "--times", "1"])
    printed = capsys.readouterr().out.splitlines()
    counted = {row.split(" | ")[0].strip("| "): row.split(" | ") for row in printed if row.startswith("| vdsr")}
    assert list(counted) == ["vdsr_bnn", "vdsr_dorefa", "vdsr_abc", "vdsr_abc3", "vdsr_bam"]
    assert counted["vdsr_bnn"][3:] == [f"{2 * 576 * 0.9216e-3:.1f}", "0.13", f"{(144 + 1152) * 0.9216e-3:.1f} |"]
    timed = [row.split(" | ") for row in printed if row.startswith(("| BNN", "| XOR"))]
    assert [row[0] for row in timed] == ["| BNN, signs in float32", "| BNN, XOR and popcount", "| XOR and popcount"]
    assert all(float(row[3].strip(" |")) < 1e-5 for row in timed)


def test_the_choice_of_a_gabor_kernel_goes_on_where_it_stopped(tmp_path, capsys, monkeypatch):
    choice, results = module("gabor_choice"), tmp_path / "new" / "results.jsonl"
    call = ["--steps", "1", "--kernels", "7/0,9/45", "--photographs", "3", "--results", str(results)]
    choice.main([*call, "--seeds", "1"])
    first = capsys.readouterr()
    assert "3 scored (64 x 64); norm sum, 1 steps; 0 of 3 trainings are there" in first.out
    assert [line.split(":")[0] for line in first.err.splitlines()] == ["1 of 3", "2 of 3", "3 of 3"]
    lines = results.read_text().splitlines()
    results.write_text("\n".join(lines[:2]) + "\n" + lines[2][:40])  # it was stopped while it wrote
    trained = []
    real = choice.scores
    monkeypatch.setattr(choice, "scores", lambda method, *rest: trained.append(type(method)) or real(method, *rest))
    choice.main([*call, "--seeds", "1"])
    assert "2 of 3 trainings are there" in (again := capsys.readouterr().out)
    assert trained == [choice.Control] and again.splitlines()[1:] == first.out.splitlines()[1:]
    choice.main([*call, "--seeds", "1", "--norm", "l1"])  # another question
    assert "0 of 3 trainings are there" in capsys.readouterr().out


def test_the_choice_of_a_gabor_kernel_says_what_can_be_told():
    choice, names = module("gabor_choice"), ["a", "b", "c", "d"]
    values = {"7/0": [1.0, 2.0, 3.0, 4.0], "9/0": [2.0, 3.0, 4.0, 5.5], "9/90": [1.5, 1.5, 3.5, 4.0],
              "grey": [0.5, 1.0, 2.5, 3.0]}
    found = {(kernel, seed): dict.fromkeys(choice.FIGURES, (np.array(row) + sign).tolist())
             for kernel, row in values.items() for seed, sign in ((1, -0.5), (2, 0.5))}
    lines = choice.tables(found, names)
    assert lines[1] == "PSNR, dB (the grey picture itself: 1.750)"
    assert lines[5:7] == ["| 7 | 2.500 |  |  |  |", "| 9 | 3.625 |  | 2.625 |  |"]
    assert lines[12] == "Best: 9/0 (3.625). The source's 7/0 (2.500) is number 3 of 3."
    assert lines[13].startswith("9/0 less 7/0: +1.125 [+1.0") and lines[14].startswith("grey less 7/0: -0.750 [")
    assert lines[15:17] == ["Told from it as better: 9/0.", "Told from it as worse: grey."]


def test_the_choice_of_a_gabor_kernel_refuses_what_is_not_there(tmp_path):
    choice = module("gabor_choice")
    with pytest.raises(SystemExit, match=r"There is no kernel '8/0'; write size/direction, such as 7/0"):
        choice.main(["--kernels", "8/0"])
    with pytest.raises(SystemExit, match="--photographs 1000 leaves none to train on"):
        choice.main(["--photographs", "1000", "--results", str(tmp_path / "results.jsonl")])


def test_the_gap_of_a_classifier_is_drawn_over_photographs() -> None:
    """Two photographs of ten pictures: of one all are known in colour, of the other none; grey none, true all."""
    gap = module("class_gap")
    counts = {"one": np.array([10, 10, 10, 0]), "other": np.array([10, 0, 10, 0])}
    assert gap.shares(counts.values()) == (0.5, 1.0, 0.0)
    assert gap.gap_interval(np.array(list(counts.values()))[:, [1, 3, 2]]) == (0.0, 1.0, 0.0)


def test_settings_that_a_method_does_not_have_are_not_tried(arguments, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.chdir(ROOT)
    arguments("glcic", '{"centred": true}', '{"center": true}')
    with pytest.raises(SystemExit):
        module("validation").main()
    assert "The method 'glcic' has no setting 'center'" in capsys.readouterr().err
