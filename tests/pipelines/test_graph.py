"""dvc.yaml itself: what depends on what, and that nothing to do takes next to no time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from benchmarks import noop
from restore_ml.registry import tables

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def graph():
    return YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))


def test_only_known_tasks_are_compared(graph):
    assert set(graph["vars"][0]["tables"]) <= set(tables())


def test_restoring_never_sees_the_truth_and_training_never_the_tests(graph):
    stages = graph["stages"]
    assert [dep for dep in stages["restore"]["do"]["deps"] if dep.startswith("samples")] == [
        "samples/${item.task}/inputs"]
    for name in ("train", "train_support"):
        assert [dep for dep in stages[name]["do"]["deps"] if dep.startswith("samples")] == [
            "samples/${item.task}/train"]
        assert "validation/${item.task}.json" in stages[name]["do"]["deps"]


def test_settings_reach_dvc_through_the_code_folder_alone(graph):
    for name, stage in graph["stages"].items():
        body = stage.get("do", stage)
        assert "params" not in body
        assert name in ("code", "register") or any(dep.startswith("code/") for dep in body["deps"])


def test_every_stage_has_its_module(graph):
    for stage in graph["stages"].values():
        name = stage.get("do", stage)["cmd"].split()[3]
        assert (ROOT / "pipelines" / f"{name}.py").exists()


@pytest.mark.slow
def test_nothing_to_do_is_quick_and_a_new_run_touches_no_other(tmp_path):
    found = noop.measure(tmp_path, 10)
    assert found["stages"] == 20 + 22
    assert found["noop_seconds"] < 30  # the figure itself is for the benchmark; the machine may be busy
    with open(tmp_path / "params.yaml", "a", encoding="utf-8") as file:
        file.write("  run_new: {task: inpainting, needs: none}\n")
    _, output = noop.dvc(tmp_path, "repro")
    ran = {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
    assert ran == {"code", "train@run_new", "restore@run_new", "score@inpainting",
                   *(f"compare@{task}" for task in tables()), "register"}  # tables name all models' sizes


def test_the_makefile_knows_its_targets():
    done = subprocess.run(["make", "-n", "-C", str(ROOT), "repro", "PROFILE=quick", "TASK=inpainting"],
                          capture_output=True, text=True, check=True)
    assert '-m flows.rebuild --profile "quick" --task "inpainting" --methods ""' in done.stdout


def test_rebuild_refuses_unknown_names_in_a_sentence(tmp_path):
    done = subprocess.run([sys.executable, "-m", "flows.rebuild", "--task", "inpaintin"], cwd=ROOT, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 2 and "Did you mean 'inpainting'?" in done.stderr and "Traceback" not in done.stderr
