"""The units of a parallel rebuild: their order, which are stale, what follows a failure."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest

from flows.work import parallel, rebuild
from flows.work.estimate import Cost, Estimate, sentence, words
from flows.work.parallel import job_name
from flows.work.units import Unit, degrading, stale, tasks_of, units, with_slots
from flows.work.watching import Watch, progress_of
from pipelines.machinery.runners import Runner
from restore_ml.base import layout
from restore_ml.base.files import write_json
from restore_ml.runs import settings

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def params():
    return settings.load(ROOT / "params.yaml")


def test_a_unit_is_a_run_and_comes_after_what_it_needs(params):
    found = {unit.name: unit for unit in units(params)}
    assert found["representation/features"].stages == ("graph/representation/dvc.yaml:train@features",)
    assert found["super_resolution/vdsr"].stages == tuple(
        f"graph/super_resolution/dvc.yaml:{stage}@vdsr" for stage in ("train", "restore", "score"))
    assert found["inpainting/partial_conv"].after == {"validate inpainting", "representation/features"}
    table = found["compare inpainting"]
    assert table.table and not table.after and table.following == {
        run.key for run in (*params.runs.values(), *params.elsewhere.values()) if run.task == "inpainting"}
    assert "compare representation" not in found


def test_no_two_units_write_the_same_stage(params):
    stages = [stage for unit in units(params) for stage in unit.stages]
    assert len(stages) == len(set(stages))


def test_a_part_has_no_tables_and_brings_what_fills_its_slots(params):
    chosen = [params.runs["inpainting/telea"], params.runs["inpainting/partial_conv"]]
    assert [unit.name for unit in units(params, "", chosen)] == [
        "validate representation", "representation/features", "validate inpainting", "inpainting/telea",
        "inpainting/partial_conv"]
    assert tasks_of(params, "", chosen) == ["representation", "inpainting"]


def test_a_task_has_its_table_and_no_other(params):
    names = [unit.name for unit in units(params, "inpainting")]
    assert names[:2] == ["validate representation", "representation/features"] and names[-1] == "compare inpainting"
    assert not [name for name in names if "super_resolution" in name]
    assert tasks_of(params, "super_resolution", []) == ["representation", "super_resolution"]
    assert len(with_slots(params, params.runs_of("cloud_removal"))) == len(params.runs_of("cloud_removal"))


def test_a_unit_begins_where_something_changed_unless_it_stands_behind_another():
    run, slot = Unit("r", ("train", "restore", "score"), frozenset({"validate", "slot"})), Unit("slot", ("other",))
    assert [unit.stages for unit in stale([slot, run], {"restore"})] == [("restore", "score")]
    assert [unit.stages for unit in stale([slot, run], {"score", "other"})] == [slot.stages, run.stages]


def test_what_stands_behind_something_stale_is_stale():
    chain = [Unit("c", ("c",), frozenset("b")), Unit("b", ("b",), frozenset("a")), Unit("a", ("a",)), Unit("d", ("d",)),
             Unit("t", ("t",), following=frozenset("c"))]
    assert [unit.name for unit in stale(chain, {"a"})] == ["c", "b", "a", "t"]
    assert stale(chain, set()) == [] and [unit.name for unit in stale(chain, {"d", "register"})] == ["d"]


def test_the_estimate_counts_what_ran_here_and_says_what_did_not(tmp_path):
    chain = [Unit("a", ("x:1", "x:2")), Unit("b", ("x:3",), frozenset("a")), Unit("c", ("x:4",))]
    estimate = Estimate(tmp_path, "cpu")
    assert "not known" in sentence(chain, estimate, 2, 0)
    estimate.record({"x:1": Cost(60, 900), "x:2": Cost(30), "x:3": Cost(30)})
    again = Estimate(tmp_path, "cpu")
    assert (again.seconds(chain[0]), again.megabytes(chain[0], 1), again.megabytes(chain[1], 1)) == (90, 900, 1)
    assert again.total(chain, 2) == 120  # the chain is longer than half of all
    assert again.total(chain, 1) == 120 and again.unknown(chain) == 1
    assert "about 2 min 0 s and 12 MB of disk (1 never ran here" in sentence(chain, again, 2, 12.4)
    assert Estimate(tmp_path, "quick").unknown(chain) == 3
    assert [words(value) for value in (0.4, 59, 61, 7300)] == ["0 s", "59 s", "1 min 1 s", "2 h 1 min"]


def test_the_lines_say_what_runs_and_how_far_it_is(tmp_path):
    out = io.StringIO()
    watch = Watch(tmp_path, 3, 600.0, out)
    watch.start("super_resolution/vdsr")
    folder = tmp_path / ".state/parallel"
    folder.mkdir(parents=True)
    (folder / "train@super_resolution.vdsr.progress").write_text('{"what": "a", "done": 5, "total": 8, "loss": 0.125}')
    first, second = watch.lines()
    assert first.startswith("0 of 3 done after 0 s, about 10 min 0 s left")
    assert second.startswith("  train super_resolution/vdsr 62 %, loss 0.125, 0 s")
    watch.end("super_resolution/vdsr", "done")
    assert out.getvalue() == "[1/3] super_resolution/vdsr done after 0 s\n"


def test_a_stage_has_one_name_for_dvc_and_one_for_workers():
    assert job_name(layout.stage("train", "inpainting", "telea")) == "train@inpainting.telea"
    assert job_name(layout.stage("compare", "inpainting", "inpainting")) == "compare@inpainting"
    assert job_name(layout.stage("validate", "inpainting")) == "validate@inpainting"


class Lanes:
    """Two lanes without DVC, that remember the order."""

    count, all = 2, ()

    def __init__(self, failing):
        self.failing, self.ran = failing, []

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        pass

    def run(self, unit):
        self.ran.append(unit.name)
        return "it broke" if unit.name in self.failing else ""


def test_others_go_on_after_a_failure_and_who_needs_it_waits(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Lanes, "all", property(lambda self: [type("Alive", (), {"poll": lambda lane: None})()]))
    monkeypatch.setattr(parallel, "_table", lambda root, task: f"table of {task}")
    chain = [Unit("t/a", ("a",)), Unit("t/b", ("b",), frozenset({"t/a"})), Unit("t/c", ("c",)),
             Unit("t/d", ("d",), frozenset({"t/c"})),
             Unit("table", ("t",), following=frozenset({"t/a", "t/b", "t/c", "t/d"}), task="t", table=True)]
    kept = tmp_path / "scores/t/a.parquet"
    kept.parent.mkdir(parents=True)
    kept.write_text("of its last success")

    def run(failing):
        lanes = Lanes(failing)
        watch = Watch(tmp_path, len(chain), 0.0)
        return parallel._Build(tmp_path, Estimate(tmp_path, "cpu"), watch, []).run(chain, lanes), lanes

    failed, lanes = run({"t/a"})
    assert failed == ["t/a"] and set(lanes.ran) == {"t/a", "t/c", "t/d", "table"}
    assert lanes.ran.index("t/c") < lanes.ran.index("t/d") < lanes.ran.index("table")
    said = capsys.readouterr()
    assert "it broke" in said.err and "t/b had to wait" in said.err and "table of t" in said.out
    assert not kept.exists()  # no table may show it as today's
    failed, lanes = run(set())
    assert failed == [] and set(lanes.ran) == {unit.name for unit in chain}


def test_a_unit_waits_while_memory_is_short_unless_nothing_runs(tmp_path, monkeypatch):
    estimate = Estimate(tmp_path, "cpu")
    estimate.record({"a": Cost(1, 3000)})
    build = parallel._Build(tmp_path, estimate, Watch(tmp_path, 1, 0.0), [])
    for free, fits in ((3400.0, False), (3600.0, True), (None, True)):
        monkeypatch.setattr(parallel, "available_megabytes", lambda free=free: free)
        assert build._fits(Unit("a", ("a",))) == fits
    monkeypatch.setattr(parallel, "available_megabytes", lambda: 0.0)
    monkeypatch.setattr(Lanes, "all", property(lambda self: [type("Alive", (), {"poll": lambda lane: None})()]))
    lanes = Lanes(set())
    assert build.run([Unit("a", ("a",)), Unit("b", ("b",))], lanes) == [] and sorted(lanes.ran) == ["a", "b"]


def test_nothing_is_built_behind_samples_that_could_not_be_made(tmp_path, monkeypatch, params):
    monkeypatch.setattr(Lanes, "all", property(lambda self: [type("Alive", (), {"poll": lambda lane: None})()]))
    stages = [unit for unit in units(params) if unit.task in ("detection", "classification") and not unit.table]
    lanes = Lanes(set())
    build = parallel._Build(tmp_path, Estimate(tmp_path, "cpu"), Watch(tmp_path, 1, 0.0), ["degrade detection"])
    assert build.run(stages, lanes) == ["degrade detection"]
    assert set(lanes.ran) == {unit.name for unit in stages if unit.task == "classification"}


def test_stale_samples_go_task_beside_task_or_in_chunks_where_fewer_are_stale_than_work(tmp_path, monkeypatch):
    repro, lanes = [], Lanes({"degrade b"})
    monkeypatch.setattr(Lanes, "all", property(lambda self: [type("Alive", (), {"poll": lambda lane: None})()]))
    monkeypatch.setattr(parallel, "dvc", lambda root, environment, *said: repro.append((environment, said)))
    monkeypatch.setattr(parallel, "_Lanes", lambda root, environment, count: lanes)
    monkeypatch.setattr(parallel.jobs, "dispatching", lambda root, submit: contextlib.nullcontext({"ADDRESS": "x"}))
    monkeypatch.setattr(parallel, "_records", lambda root, task: {"a": 1, "b": 2}[task])
    lanes.count = 1
    old, estimate, runner = degrading(["a", "b"]), Estimate(tmp_path, "cpu"), Runner("threads", 2)
    assert parallel._degrade(tmp_path, runner, {}, old, estimate, lambda job: None) == ["degrade b"]
    assert lanes.ran == ["degrade b", "degrade a"] and not repro  # the larger one first
    assert parallel._degrade(tmp_path, runner, {}, old[:1], estimate, lambda job: None) == []
    assert repro == [(runner.environment(), ("repro", "--single-item", "graph/a/dvc.yaml:degrade"))]


def test_what_a_unit_says_of_itself_is_not_said_twice(tmp_path):
    folder = tmp_path / parallel.jobs.FOLDER
    folder.mkdir(parents=True)
    for name in ("degrade@inpainting", "train@inpainting.telea"):
        (folder / f"{name}.progress").write_text('{"done": 1, "total": 4}', encoding="utf-8")
    assert progress_of(tmp_path, "degrade inpainting") == ("", "25 %")
    assert progress_of(tmp_path, "inpainting/telea") == ("train", "25 %")
    assert progress_of(tmp_path, "validate inpainting") == ("", "")


def test_mlflow_is_told_of_what_was_promoted_and_of_all_where_a_part_was_built(tmp_path, monkeypatch):
    from restore_ml.registry import tables

    told, champion = [], tmp_path / layout.champions("inpainting") / "decision.json"

    def promote(root, asked):
        write_json(champion, {"sentence": "telea"})
        return []

    monkeypatch.setattr("restore_ml.tracking.sync.sync", lambda root, tasks=None: told.append(tasks))
    monkeypatch.setattr("restore_ml.promotion.champions.promote", promote)
    monkeypatch.setattr("restore_ml.promotion.champions.dvc_add", lambda root: [])
    monkeypatch.setattr("restore_ml.data.left_out.left_out", lambda root: {})
    monkeypatch.setattr("restore_ml.data.left_out.in_words", lambda found: "")
    rebuild.finish(tmp_path, tables())
    rebuild.finish(tmp_path, tables(), promote=False)
    rebuild.finish(tmp_path, ["inpainting"], promote=False)
    assert told == [["inpainting"], None]
