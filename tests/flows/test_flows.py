"""The flows on a real project: parallel rebuild, ingest, retrain, prune, two at once. Each test goes on from the last.

The project is built first with a Dask cluster of two worker processes and one torch thread each.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from tests.pipeline.conftest import make_project

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]
RUNS = {"super_resolution": {
    "bicubic": {}, "vdsr": {"quick": {"layers": 3, "steps": 8, "width": 8, "batch": 2, "patch": 32}}}}
SAMPLES = {"super_resolution": {"settings": {"variants": []}}}
RUNNER = "dask" if importlib.util.find_spec("prefect_dask") else "processes"


def flow(project, name, *arguments, check=True):
    return project.run(sys.executable, "-m", f"flows.{name}", *arguments, check=check)


def ran(output):
    return set(re.findall(r"Running stage '([^']+)'", output))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("flows"), RUNS, SAMPLES)
    project.printed = flow(project, "rebuild", "--runner", RUNNER, "--workers", "2").stdout
    yield project
    project.run(sys.executable, "-m", "flows.clean", check=False)


def test_a_parallel_rebuild_keeps_dvc_true(built):
    assert re.search(rf"4 of 4 units are stale; 2 at once over {RUNNER}", built.printed)
    workers = {name: json.loads((built.root / f".state/parallel/{name}.json").read_text())
               for name in ("train@super_resolution.vdsr", "restore@super_resolution.vdsr",
                            "train@super_resolution.bicubic", "compare@super_resolution")}
    assert {facts["status"] for facts in workers.values()} == {0}
    assert not ran(built.dvc("repro").stdout)
    assert "up to date" in built.dvc("status").stdout
    task = "super_resolution"
    assert list(built.locked()) == ["code", "prepare", "register", *(f"{task}:{stage}" for stage in (
        "degrade", "validate", *(f"{stage}@{run}" for stage in ("train", "restore", "score")
                                 for run in ("bicubic", "vdsr")), f"champion@{task}", f"compare@{task}"))]


def test_one_worker_gives_the_same_bytes_in_every_lock(built):
    locks = {path: path.read_bytes() for path in (built.root / "dvc.lock", *built.root.glob("graph/*/dvc.lock"))}
    for path in locks:
        path.unlink()
    done = flow(built, "rebuild", "--workers", "1")
    assert "1 at once over threads" in done.stdout
    assert {path: path.read_bytes() for path in locks} == locks


def test_the_sequential_stages_give_the_same_bits(built):
    before, graph = built.locked(), "graph/super_resolution/dvc.yaml"
    done = built.dvc("repro", "--force", "--single-item", "prepare", f"{graph}:degrade", f"{graph}:train@vdsr",
                     f"{graph}:restore@vdsr")
    assert len(ran(done.stdout)) == 4 and built.locked() == before


def test_ingest_takes_pictures_commits_the_pointer_and_nothing_else(built, tmp_path):
    for number in range(3):
        array = np.random.default_rng(number).integers(0, 256, (48, 48, 3), dtype=np.uint8)
        Image.fromarray(array).save(tmp_path / f"{number}.png")
    (tmp_path / "broken.png").write_bytes(b"no")
    built.run("git", "config", "user.name", "test")
    built.run("git", "config", "user.email", "test@example.com")
    options = ("--inbox", str(tmp_path), "--collection", "mine", "--role", "test", "--settle", "0.1", "--commit")
    done = flow(built, "ingest", *options)
    assert "3 added, 1 refused" in done.stdout and sorted(path.name for path in tmp_path.iterdir()) == [".quarantine"]
    assert built.run("git", "show", "--name-only", "--format=%s").stdout.split("\n")[:3] == [
        "Add pictures to mine", "", "data.dvc"]
    assert "up to date" in built.dvc("status", "data.dvc").stdout
    assert "nothing new" in flow(built, "ingest", *options).stdout
    assert built.run("git", "rev-list", "--count", "HEAD").stdout.strip() == "2"


def test_of_two_retrains_at_once_one_works_and_one_refuses(built):
    first = subprocess.Popen([sys.executable, "-m", "flows.retrain", "--no-promote", "--runner", "processes",
                              "--workers", "2"], cwd=built.root, env=built.environment, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
    holder = built.root / ".state/rebuild.json"
    while not holder.exists():
        assert first.poll() is None, first.communicate()
        time.sleep(0.1)
    second = flow(built, "retrain", "--no-promote", check=False)
    assert second.returncode == 2 and "Traceback" not in second.stderr
    assert re.search(rf"error: Another rebuild .*retrain \(process {first.pid}", second.stderr)
    printed, errors = first.communicate(timeout=900)
    assert first.returncode == 0, printed + errors
    report = (built.root / "reports/retrain/1.md").read_text()
    for words in ("# Retraining 1", "`prepare`", "super_resolution: restore@vdsr", "the champions stay", "| bicubic"):
        assert words in report, words
    assert "train@vdsr`" not in report  # test pictures train nothing
    assert "up to date" in built.dvc("status").stdout and not ran(built.dvc("repro").stdout)
    assert "retrain" in (built.root / "reports/failures.log").read_text()


def test_prune_says_what_would_go_and_takes_nothing_that_is_named(built):
    names = built.locked()
    dry = flow(built, "prune", "--dry-run", "--keep-days", "0")
    listed = (built.root / "reports/prune.txt").read_text().splitlines()
    would = int(re.search(r"Would free ([\d,]+) bytes", dry.stdout)[1].replace(",", ""))
    assert would == sum(int(line.split("\t")[1]) for line in listed) > 0
    objects = [line.split("\t")[2] for line in listed if line.startswith("dvc object")]
    runs = [line.split("\t")[2] for line in listed if line.startswith("mlflow run")]
    assert objects and runs  # of the results before the pictures came
    assert all(os.path.exists(path) for path in objects)
    done = flow(built, "prune", "--keep-days", "0")
    assert f"Freed {would:,} bytes" in done.stdout
    assert not any(os.path.exists(path) for path in objects)
    assert built.locked() == names
    for folder in ("models", "restored", "samples"):
        built.run("rm", "-rf", folder)
    built.dvc("checkout")  # all that dvc.lock names is still in the cache
    assert "up to date" in built.dvc("status").stdout
    again = built.run(sys.executable, "-m", "restore_ml.cli", "sync")
    assert " 0 written" in again.stdout and " 0 superseded" in again.stdout
    assert "Nothing to prune" in flow(built, "prune", "--dry-run", "--keep-days", "0").stdout


def test_a_failing_run_is_named_and_the_rest_goes_on(built):
    path = built.root / "pipelines/restore.py"
    text = path.read_text()
    line = "    step(\"restore_pictures\", restore_pictures, key)\n"
    assert line in text
    broken = "    if key.endswith(\"/vdsr\"):\n        raise ValueError(\"broken on purpose\")\n"
    path.write_text(text.replace(line, line + broken))
    done = flow(built, "rebuild", "--runner", "threads", "--workers", "2", check=False)
    path.write_text(text)
    assert done.returncode == 2 and "broken on purpose" in done.stderr
    assert "super_resolution/vdsr stopped" in done.stderr
    assert "compare super_resolution done" in done.stdout  # the others have their table
    with open(built.root / "comparison/super_resolution/table.csv", encoding="utf-8") as table:
        runs = {row["run"] for row in csv.DictReader(table)}
    assert "bicubic" in runs and "vdsr" not in runs
    done = flow(built, "rebuild", "--runner", "threads", "--workers", "2")
    assert "up to date" in built.dvc("status").stdout
