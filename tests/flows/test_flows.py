"""The flows on a real project: parallel rebuild, ingest, retrain, prune, two at once. Each test goes on from the last.

The project is built first with a Dask cluster of two worker processes and one torch thread each.
"""

from __future__ import annotations

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
RUNS = """
runs:
  bicubic: {task: super_resolution, needs: none}
  vdsr: {task: super_resolution, needs: none, quick: {layers: 3, steps: 8, width: 8, batch: 2, patch: 32}}
"""
RUNNER = "dask" if importlib.util.find_spec("prefect_dask") else "processes"


def flow(project, name, *arguments, check=True):
    return project.run(sys.executable, "-m", f"flows.{name}", *arguments, check=check)


def ran(output):
    return set(re.findall(r"Running stage '([^']+)'", output))


def edit(project, old, new):
    path = project.root / "params.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("flows"), RUNS)
    edit(project, "threads: 2", "threads: 1")
    edit(project, "variants: [x2_blur, x2_noise]", "variants: []")
    project.printed = flow(project, "rebuild", "--runner", RUNNER, "--workers", "2").stdout
    yield project
    project.run(sys.executable, "-m", "flows.clean", check=False)


def test_a_parallel_rebuild_keeps_dvc_true(built):
    assert re.search(rf"3 of 3 units are stale; 2 at once over {RUNNER}", built.printed)
    workers = {name: json.loads((built.root / f".state/parallel/{name}.json").read_text())
               for name in ("train@vdsr", "restore@vdsr", "train@bicubic", "score@super_resolution")}
    assert {facts["status"] for facts in workers.values()} == {0}
    assert workers["train@vdsr"]["pid"] != workers["train@bicubic"]["pid"]  # two workers
    assert not ran(built.dvc("repro").stdout)
    assert "up to date" in built.dvc("status").stdout
    locked = re.findall(r"^  ([a-z_@]+):$", (built.root / "dvc.lock").read_text(), re.MULTILINE)
    assert {"train@vdsr", "restore@vdsr", "train@bicubic", "restore@bicubic", "register"} <= set(locked)


def test_the_sequential_stages_give_the_same_bits(built):
    before = (built.root / "dvc.lock").read_bytes()
    done = built.dvc("repro", "--force", "--single-item", "prepare", "degrade@super_resolution", "train@vdsr",
                     "restore@vdsr")
    assert len(ran(done.stdout)) == 4 and (built.root / "dvc.lock").read_bytes() == before


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
    for words in ("# Retraining 1", "`prepare`", "restore@vdsr", "the champions stay", "| bicubic"):
        assert words in report, words
    assert "`train@vdsr`" not in report  # test pictures train nothing
    assert "up to date" in built.dvc("status").stdout and not ran(built.dvc("repro").stdout)
    assert "retrain" in (built.root / "reports/failures.log").read_text()


def test_prune_says_what_would_go_and_takes_nothing_that_is_named(built):
    names = (built.root / "dvc.lock").read_text()
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
    assert (built.root / "dvc.lock").read_text() == names
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
    broken = "    if key == \"vdsr\":\n        raise ValueError(\"broken on purpose\")\n"
    path.write_text(text.replace(line, line + broken))
    done = flow(built, "rebuild", "--runner", "threads", "--workers", "2", check=False)
    path.write_text(text)
    assert done.returncode == 2 and "broken on purpose" in done.stderr and "vdsr stopped" in done.stderr
    assert "restore@bicubic done" in done.stdout and "score super_resolution had to wait" in done.stderr
    done = flow(built, "rebuild", "--runner", "threads", "--workers", "2")
    assert "up to date" in built.dvc("status").stdout
