"""The units of a parallel rebuild: their order, which are stale, what follows a failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.work import parallel
from flows.work.parallel import Unit, stale, units
from restore_ml import settings
from restore_ml.errors import UserError

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def params():
    return settings.load(ROOT / "params.yaml")


def test_a_unit_is_a_run_and_comes_after_what_it_needs(params):
    found = {unit.name: unit for unit in units(params)}
    assert found["features"].stages == ("train_support@features",)
    assert found["vdsr"] == Unit("vdsr", ("train@vdsr", "restore@vdsr"))
    assert found["partial_conv"].after == {"features"}
    assert found["score inpainting"].after == {run.name for run in params.runs_of("inpainting")}


def test_no_two_units_write_the_same_stage(params):
    stages = [stage for unit in units(params) for stage in unit.stages]
    assert len(stages) == len(set(stages))


def test_a_part_has_no_tables_and_brings_what_it_needs(params):
    assert [unit.name for unit in units(params, ["partial_conv", "telea"])] == ["features", "telea", "partial_conv"]


def test_what_stands_behind_something_stale_is_stale():
    chain = [Unit("c", ("c",), frozenset("b")), Unit("b", ("b",), frozenset("a")), Unit("a", ("a",)), Unit("d", ("d",))]
    assert [unit.name for unit in stale(chain, {"a"})] == ["c", "b", "a"]
    assert stale(chain, set()) == [] and [unit.name for unit in stale(chain, {"d", "register"})] == ["d"]


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
    chain = [Unit("a", ("a",)), Unit("b", ("b",), frozenset("a")), Unit("c", ("c",)), Unit("d", ("d",), frozenset("c"))]
    lanes = Lanes({"a"})
    with pytest.raises(UserError, match=r"a stopped .* b had to wait for it"):
        parallel._run(tmp_path, chain, lanes)
    assert set(lanes.ran) == {"a", "c", "d"} and lanes.ran.index("c") < lanes.ran.index("d")
    assert "it broke" in capsys.readouterr().err
    lanes = Lanes(set())
    parallel._run(tmp_path, chain, lanes)
    assert set(lanes.ran) == set("abcd") and lanes.ran.index("a") < lanes.ran.index("b")
