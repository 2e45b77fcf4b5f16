"""A full disk, no permission, no memory: a sentence, the others go on, nothing is lost."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
import torch
from safetensors.torch import save_file

from flows.work import rebuild
from restore_ml import registry
from restore_ml.base import errors, files, layout
from restore_ml.base.files import read_json
from restore_ml.data import data_docs, shards
from restore_ml.restoring.stage import restore_run
from restore_ml.training import checkpoint, train
from tests.faults import killing, limiting
from tests.pipelines import toy as toy_stage
from tests.tracking import small_project
from tests.training import toy

LIMIT = 20_000


def text(path: Path, size: int) -> None:
    files.write_text(path, "x" * size)


def arrow(path: Path, size: int) -> None:
    shards.write(path, [shards.Record("a", {"image": np.zeros((size, 1, 1), np.uint8)})])


def safetensors(path: Path, size: int) -> None:
    checkpoint.save(path, {"a": torch.zeros(size, dtype=torch.uint8)}, {})


def weights(path: Path, size: int) -> None:
    files.write_whole(path, lambda part: save_file({"a": torch.zeros(size, dtype=torch.uint8)}, part))


def parquet(path: Path, size: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, size, np.uint8)  # that compress to nothing less
    files.write_whole(path, lambda part: pyarrow.parquet.write_table(pyarrow.table({"a": values}), part))


WRITERS = [text, arrow, safetensors, weights, parquet]


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_that_does_not_fit_is_named_and_the_old_one_stays(tmp_path, write):
    path = tmp_path / "result"
    write(path, 1000)
    before = path.read_bytes()
    with limiting.largest_file(LIMIT), pytest.raises(OSError, match="No space left") as caught:
        write(path, 10 * LIMIT)
    assert caught.value.errno == errno.ENOSPC and str(path) in str(errors.lack(caught.value))
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["result"]
    write(path, 10 * LIMIT)
    assert path.stat().st_size >= 10 * LIMIT


@pytest.mark.parametrize("write", WRITERS)
def test_on_a_full_disk_the_old_file_stays_and_the_next_one_is_whole(tmp_path, write):
    with limiting.small_disk(tmp_path / "disk", 400) as disk:
        path = disk / "result"
        write(path, 1000)
        before = path.read_bytes()
        ballast = limiting.fill(disk)
        with pytest.raises(OSError, match="No space left") as caught:
            write(path, LIMIT)
        assert str(path) in str(errors.lack(caught.value))
        assert path.read_bytes() == before and sorted(os.listdir(disk)) == ["ballast", "result"]
        ballast.unlink()
        write(path, LIMIT)
        assert path.stat().st_size > LIMIT / 2


@pytest.mark.parametrize(("limit", "assets"), [(LIMIT, True), (1_000_000, True), (LIMIT, False)])
def test_data_docs_that_do_not_fit_are_no_success(tmp_path, caplog, monkeypatch, limit, assets):
    """Great Expectations itself logs a stack trace and leaves a page out; its pictures (of a megabyte) do raise."""
    from great_expectations.data_context.store.html_site_store import HtmlSiteStore

    if not assets:
        monkeypatch.setattr(HtmlSiteStore, "copy_static_assets", lambda self: None)
    expectation = data_docs.Expect("ColumnValuesToBeUnique", {"column": "id"})
    suite = data_docs.Suite("frame", pd.DataFrame({"id": ["a", "b"]}), [expectation], ("id",))
    docs = tmp_path / "docs"
    with limiting.largest_file(limit), pytest.raises(OSError, match="too large") as caught:
        data_docs.run([suite], docs)
    assert f"There is no space left for {docs}" in errors.lack(caught.value)
    assert not [record for record in caplog.records if "Traceback" in record.getMessage()]
    assert data_docs.run([suite], docs) == []
    assert any("frame" in page.name for page in (docs / "validations").rglob("*.html"))


def test_unfinished_files_of_dead_processes_are_swept_up_and_those_of_living_ones_stay(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    left = tmp_path / "a" / f"{files.PART}{dead.pid}-x1-model.json"
    mine = tmp_path / "a" / f"{files.PART}{os.getpid()}-x2-model.json"
    for path in (left, mine, tmp_path / "a" / "model.json"):
        files.write_text(path, "{}")
    assert files.sweep([tmp_path, tmp_path / "not there"]) == [left]
    assert sorted(os.listdir(tmp_path / "a")) == sorted([mine.name, "model.json"])


class Greedy(toy.ToyMethod):
    """Wants more memory than there is."""

    def build(self):
        torch.empty(1 << 32, dtype=torch.uint8)
        return super().build()


class GreedyFit(toy.Method):
    """Wants more memory than there is, of numpy."""

    task = "toy"
    paper = {"order": 2}

    def prepare(self, material, seed):
        return {"a": np.ones(1 << 32, np.uint8)}


@pytest.fixture
def project(tmp_path, monkeypatch):
    classes = {"toy": toy.ToyMethod, "greedy": Greedy, "greedy_fit": GreedyFit}
    monkeypatch.setattr(registry, "method_class", lambda task, method: classes[method])
    toy.register(monkeypatch)

    def make(root):
        toy.material(root / "samples" / "toy" / "train")
        return root

    return make


def train_run(root: Path, method: str = "toy") -> dict:
    spec = {"run": method, "task": "toy", "method": method, "slots": {}, "seed": 3, "settings": {}, "threads": 1,
            "precision": "fp32", "versions": {}, "modules": {}}
    return train.train_run(spec, root, root / "models" / method)


@pytest.mark.parametrize("method", ["greedy", "greedy_fit"])
def test_a_method_without_memory_is_transient_and_the_next_one_goes_on(project, tmp_path, method):
    root = project(tmp_path)
    with limiting.more_memory(1 << 30):
        facts = train_run(root, method)
        other = train_run(root)
    assert facts["status"] == "transient" and re.search("(?i)allocate", facts["reason"])
    assert read_json(root / "models" / method / "model.json") == facts
    assert other["status"] == "ok"


def test_a_training_whose_weights_do_not_fit_is_transient_and_ends_the_same_next_time(project, tmp_path):
    root, other = project(tmp_path / "a"), project(tmp_path / "b")
    with limiting.largest_file(4096):  # model.json fits
        facts = train_run(root)
    assert facts["status"] == "transient" and "No space left" in facts["reason"]
    assert os.listdir(root / "models" / "toy") == ["model.json"]
    assert train_run(root)["status"] == train_run(other)["status"] == "ok"
    for name in ("model.json", "weights.safetensors", "history.csv"):
        assert (root / "models/toy" / name).read_bytes() == (other / "models/toy" / name).read_bytes()


def test_a_training_on_a_full_disk_says_so_and_ends_the_same_once_there_is_room(project, tmp_path):
    other = project(tmp_path / "b")
    train_run(other)
    with limiting.small_disk(tmp_path / "disk", 2000) as disk:
        root = project(disk)
        ballast = limiting.fill(disk)
        with pytest.raises(OSError, match="No space left") as caught:  # not even the outcome can be written
            train_run(root)
        assert "free some and start again" in str(errors.lack(caught.value))
        ballast.unlink()
        assert train_run(root)["status"] == "ok"
        assert not list(disk.rglob(f"{files.PART}*"))
        for name in ("model.json", "weights.safetensors", "history.csv"):
            assert (root / "models/toy" / name).read_bytes() == (other / "models/toy" / name).read_bytes()


def test_a_picture_without_memory_is_restored_by_the_next_rebuild(tmp_path, monkeypatch):
    root = small_project.build(tmp_path)
    spec = {"run": "vdsr", "task": small_project.TASK, "method": "vdsr", "settings": {"layers": 3, "width": 4},
            "seed": 1, "threads": 1}
    out = root / "restored" / small_project.TASK / "vdsr"
    whole = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    cls = registry.method_class(small_project.TASK, "vdsr")
    original, calls = cls.restore, []

    def restore(self, *arguments):
        calls.append(1)
        if len(calls) == 3:  # the second picture: the first one is restored twice
            torch.empty(1 << 40, dtype=torch.uint8)
        return original(self, *arguments)

    monkeypatch.setattr(cls, "restore", restore)
    facts = restore_run(spec, root, out)
    case = facts["cases"]["photos/x2"]
    assert facts["transient"] and case["status"] == "ok" and len(case["failed"]) == 1
    assert "allocate" in next(iter(case["failed"].values()))
    assert len(shards.Shard(out / "photos/x2.arrow")) == 2  # the others go on
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(rebuild, "dvc", lambda root, environment, *arguments: commands.append(arguments))
    stage = layout.stage("restore", small_project.TASK, "vdsr")
    assert rebuild.force_transient(root, "", [], {}) == [stage]
    assert commands == [("repro", "--force", "--single-item", stage)]
    restore_run(spec, root, out)  # what that does
    assert {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()} == whole


def test_a_stage_that_may_not_write_says_where(tmp_path):
    if not limiting.heeds_permissions():
        pytest.skip("Permissions cannot be taken from this user.")
    root = toy_stage.make(tmp_path / "project")
    (root / "log.txt").write_text("before\n")
    (root / "log.txt").chmod(0o444)
    done = subprocess.run(toy_stage.command("fine"), cwd=root, env=toy_stage.environment(root), capture_output=True,
                          text=True, check=False, preexec_fn=limiting.obey_permissions)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "error: There is no permission for log.txt (Permission denied); let this user write there" in done.stderr
    assert toy_stage.log(root) == ["before"]


def test_a_rebuild_that_may_not_write_is_a_sentence(tmp_path):
    if not limiting.heeds_permissions():
        pytest.skip("Permissions cannot be taken from this user.")
    shutil.copyfile(Path(__file__).parents[2] / "params.yaml", tmp_path / "params.yaml")
    tmp_path.chmod(0o500)
    done = subprocess.run([sys.executable, "-m", "flows.rebuild"], cwd=tmp_path, capture_output=True, text=True,
                          check=False, env=toy_stage.environment(tmp_path) | {
                              "PYTHONPATH": f"{toy_stage.ROOT}{os.pathsep}{toy_stage.ROOT / 'src'}"},
                          preexec_fn=limiting.obey_permissions)
    tmp_path.chmod(0o700)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert f"There is no permission for {tmp_path / '.state'}" in done.stderr
    assert os.listdir(tmp_path) == ["params.yaml"]


@pytest.mark.skipif(os.environ.get("RESTORE_ML_THOROUGH") != "1", reason="It takes minutes; set RESTORE_ML_THOROUGH=1.")
@pytest.mark.parametrize("room", [60, 160, 400, 900])
def test_a_rebuild_on_a_full_disk_says_so_and_the_next_one_finishes(tmp_path, room):
    with limiting.small_disk(tmp_path / "disk", 200_000) as disk:
        project = killing.make(disk / "project", prefect=False)
        ballast = limiting.fill(disk)
        os.truncate(ballast, ballast.stat().st_size - room * 1024)
        status, said = project.rebuild()
        assert status == 2 and "Traceback" not in said, said
        ballast.unlink()
        status, said = project.rebuild()
        assert status == 0, said
        found = killing.results(project.root)
        assert killing.complaints(project, found) == []
        killing.forget(project)
        assert project.rebuild()[0] == 0
        assert killing.differences(project, found) == []
