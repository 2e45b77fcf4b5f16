"""Restoring and scoring keep what stays the same: what is new, or failed before, is worked on alone (counted)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.files import read_json
from restore_ml.data import shards
from restore_ml.data.ledger import Ledger
from restore_ml.data.shards import Record, Shard
from restore_ml.evaluation import scoring
from restore_ml.restoring import stage as restoring_stage
from restore_ml.restoring.stage import restore_run
from tests.tracking import small_project

TASK, RUN = small_project.TASK, "bicubic"
SPEC = {"run": RUN, "task": TASK, "method": "bicubic", "settings": {}, "seed": 1, "threads": 1, "slots": {}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with four pictures in one case, nothing restored yet."""
    small_project.build(tmp_path / "project", pictures=4)
    shutil.rmtree(tmp_path / "project" / layout.restored(TASK, RUN))
    return tmp_path / "project"


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pictures that the method was asked for, by the side of their input."""
    asked: list[Any] = []
    real = restoring_stage.restore

    def counted(method: Any, model: Any, inputs: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
        asked.append(seed)
        return real(method, model, inputs, seed)

    monkeypatch.setattr(restoring_stage, "restore", counted)
    return asked


def go(root: Path, keep: bool = True) -> dict[str, Any]:
    """What the stage does: DVC keeps the last outputs in its cache and takes them out of the way."""
    out, cache = root / layout.restored(TASK, RUN), root / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    if out.exists():
        shutil.move(out, cache)
    files = {path.relative_to(cache).as_posix(): path for path in cache.rglob("*.arrow")} if keep else {}
    return restore_run(SPEC, root, out, files=files)


def outputs(root: Path) -> dict[str, bytes]:
    out = root / layout.restored(TASK, RUN)
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def add_case(root: Path, name: str) -> None:
    """One more test set with one more picture."""
    facts = {"name": name, "collection": name, "group": name, "synthetic": False}
    record = Record("a" * 64, {"image": small_project.picture(9)}, facts)
    sample = registry.parts(TASK).cases.sample(record, "x2", 1, {"scales": [2], "variants": []})
    for part, arrays in (("inputs", sample.inputs), ("targets", sample.target)):
        shards.write(root / layout.samples(TASK) / part / name / "x2.arrow", [Record("a" * 64, arrays, facts)])


def test_nothing_is_restored_again_and_a_new_test_set_alone_is(root: Path, restored: list[str]) -> None:
    go(root)
    assert len(restored) == 4 + 1  # and once to count the multiply-adds
    first = outputs(root)
    del restored[:]
    go(root)
    assert restored == [] and outputs(root) == first
    add_case(root, "yours")
    status = go(root)
    assert len(restored) == 1 and set(status["cases"]) == {"yours/x2", "photos/x2"}
    kept = outputs(root)
    assert {name: kept[name] for name in first if name.endswith(".arrow")} == {
        name: value for name, value in first.items() if name.endswith(".arrow")}
    del restored[:]
    go(root, keep=False)
    assert len(restored) == 5 and outputs(root) == kept  # the same bytes without what was kept


def test_a_picture_that_failed_is_restored_alone_and_a_changed_one_too(root: Path, restored: list[str],
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    method = registry.method_class(TASK, "bicubic")
    real, calls = method.restore, [0]

    def short_of_memory(self: Any, *given: Any) -> Any:
        calls[0] += 1
        if calls[0] == 4:  # the third picture: the first is restored twice
            raise MemoryError("no memory")
        return real(self, *given)

    monkeypatch.setattr(method, "restore", short_of_memory)
    status = go(root)
    assert status["transient"] and len(status["cases"]["photos/x2"]["failed"]) == 1
    monkeypatch.setattr(method, "restore", real)
    del restored[:]
    status = go(root)
    assert len(restored) == 1 and "transient" not in status and status["cases"]["photos/x2"]["failed"] == {}
    path = root / layout.inputs(TASK) / "photos/x2.arrow"
    records = [Record(record.id, dict(record.arrays), record.facts) for record in Shard(path)]
    records[1].arrays["lr"] = records[1].arrays["lr"][::-1].copy()
    shards.write(path, records)
    del restored[:]
    go(root)
    assert len(restored) == 1


def test_progress_counts_the_pictures_of_supported_cases_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From these counts the time that is left is told."""
    inputs = root / layout.inputs(TASK) / "photos"
    for name in ("x1", "x9"):  # before and behind the one that it supports
        shutil.copy(inputs / "x2.arrow", inputs / f"{name}.arrow")
    monkeypatch.setattr(registry.method_class(TASK, "bicubic"), "unsupported",
                        lambda self, degradation: None if degradation == "x2" else "made for x2")
    seen: list[Any] = []
    status = restore_run(SPEC, root, root / layout.restored(TASK, RUN), lambda *told: seen.append(told))
    assert seen == [("photos/x2", number, 4) for number in range(1, 5)]
    assert status["cases"]["photos/x9"]["status"] == "unsupported"


def test_another_model_restores_everything(root: Path, restored: list[str]) -> None:
    go(root)
    del restored[:]
    path = root / layout.model(TASK, RUN) / "model.json"
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 2'))
    go(root)
    assert len(restored) == 4 + 1


def test_only_new_outputs_are_measured(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go(root)
    measured: list[int] = []
    real = scoring._measure
    monkeypatch.setattr(scoring, "_measure", lambda *given: measured.append(1) or real(*given))

    def rows() -> Any:
        ledger = Ledger.of_stage(root, f"score-{TASK}-{RUN}", {"modules": {}})
        found = scoring.score(TASK, root / layout.samples(TASK), root / layout.restored(TASK),
                              [{"run": RUN, "seed": 1}], ledger=ledger)
        ledger.save()
        return found

    first = rows()
    assert len(measured) == 4
    again = rows()
    assert len(measured) == 4 and again.equals(first)
    add_case(root, "yours")
    go(root)
    more = rows()
    assert len(measured) == 5 and len(more) == 5
    assert more[more["case"] == "photos/x2"].reset_index(drop=True).equals(first)
    assert read_json(root / layout.restored(TASK, RUN) / "status.json")["status"] == "ok"
