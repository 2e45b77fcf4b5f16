"""A run killed with SIGKILL and started again ends with the bytes of one that was never killed, whatever its kind.

Each run is killed at three moments one after the other, begun again each time: during a step, during the writing of a
checkpoint (of which half is on the disk then) and with half a line in its history; what does not train is killed
while it reads, optimises and writes. Weights, fitted arrays, history, restored pictures and scores are compared.

With RESTORE_ML_THOROUGH=1 every run of params.yaml (and the feature network) is killed instead at a random moment of
each kind, each time in a project of its own; `pytest tests/faults/test_exact_resume.py -s` names them.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.runs import settings
from restore_ml.seeds import generator
from restore_ml.tasks.base import Material
from restore_ml.training import checkpoint, train
from tests.faults import training_kills
from tests.faults.training_kills import Moment

pytestmark = pytest.mark.slow
CHECKPOINT, WEIGHTS, ARRAYS = "checkpoint.safetensors", "weights.safetensors", "arrays.safetensors"
KINDS: dict[str, list[Moment]] = {
    "vdsr": [("step", 4), ("half", CHECKPOINT, 1), ("logging", 2)],  # one network
    "gabor_pix2pix": [("step", 5), ("before", CHECKPOINT, 1), ("half", WEIGHTS, 1)],  # two players
    "edge_connect": [("logging", 4), ("half", CHECKPOINT, 2), ("step", 5)],  # phases in turn, feature network
    "colorful_colorization": [("after", CHECKPOINT, 1), ("step", 2), ("before", "model.json", 1)],  # constants, pools
    "rs_aplus_trained": [("reading", 3), ("half", ARRAYS, 1), ("before", "model.json", 1)],  # a dictionary is fitted
    "dip_watermark": [("optimising", 5), ("half", "watermark.arrow", 1), ("before", "status.json", 1)]}  # on a picture
THOROUGH = os.environ.get("RESTORE_ML_THOROUGH") == "1"
ALL = sorted(run.key for run in settings.load(Path(__file__).parents[2] / "params.yaml").runs.values() if not run.of)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A project with samples of all tasks that are asked for, and the results of runs that were never killed."""
    root = tmp_path_factory.mktemp("whole")
    tasks = registry.task_names() if THOROUGH else [*training_kills.CASES, "colorization", "representation"]
    return root, training_kills.project(root, tasks)


def begin(whole: tuple[Path, settings.Params], name: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The run's spec and its uninterrupted results, and before it what fills its slots."""
    root, params = whole
    spec = training_kills.spec_of(params, name)
    for other in spec["slots"].values():
        if not (root / layout.slot(other)).exists():
            begin(whole, other)
    assert training_kills.run(root, spec) == 0
    found = training_kills.results(root, spec)
    status = spec["task"] in registry.support() or len([path for path in found if path.endswith(".csv")])
    assert status and found[f"models/{spec['task']}/{spec['run']}/model.json"].count(b'"status": "ok"') == 1
    return spec, found


def twin(whole: Path, root: Path, spec: dict[str, Any]) -> Path:
    """A project with the same samples and what fills the run's slots, and nothing of the run."""
    shutil.copytree(whole / layout.SAMPLES / spec["task"], root / layout.SAMPLES / spec["task"])
    for other in spec["slots"].values():
        shutil.copytree(whole / layout.slot(other), root / layout.slot(other))
    return root


def saved(root: Path, spec: dict[str, Any]) -> int:
    """The steps in the checkpoint, which must be whole; 0 where there is none."""
    material = Material(root / layout.material(spec["task"]))
    path = root / layout.CHECKPOINTS / train.fingerprint(spec, material, root) / CHECKPOINT
    return checkpoint.load(path)[1]["done"] if path.exists() else 0


@pytest.mark.skipif(THOROUGH, reason="The thorough variant is asked for.")
@pytest.mark.parametrize("name", KINDS)
def test_a_run_that_was_killed_three_times_ends_with_the_same_bytes(whole, tmp_path, name):
    spec, expected = begin(whole, name)
    root, steps = twin(whole[0], tmp_path, spec), 0
    for moment in KINDS[name]:
        assert training_kills.run(root, spec, moment) == -signal.SIGKILL, moment
        steps, before = saved(root, spec), steps
        assert steps >= before
    trains = registry.method_class(spec["task"], spec["method"])(spec["settings"]).trains
    assert steps > 0 or not trains
    assert training_kills.run(root, spec) == 0
    assert training_kills.results(root, spec) == expected


@pytest.mark.skipif(not THOROUGH, reason="RESTORE_ML_THOROUGH=1 kills every run at random moments.")
@pytest.mark.parametrize("name", ALL)
def test_every_run_at_random_moments(whole, tmp_path, name):
    spec, expected = begin(whole, name)
    draws, hits = generator("moments", name), 0
    for number, moment in enumerate(_moments(expected, spec["run"], draws)):
        root = twin(whole[0], tmp_path / str(number), spec)
        status = training_kills.run(root, spec, moment)
        assert status in (0, -signal.SIGKILL), moment
        hits += status != 0
        assert training_kills.run(root, spec) == 0
        assert training_kills.results(root, spec) == expected, moment
        shutil.rmtree(root)
    print(f"{name}: killed {hits} times, the same bytes each time")
    assert hits >= 3


def _moments(found: dict[str, bytes], name: str, draws: Any) -> list[Moment]:
    """A random moment of each kind that the run can have: three at least, a file of its results among them."""
    def some(last: int) -> int:
        return int(draws.integers(last)) + 1

    def how() -> str:
        return str(draws.choice(["half", "before", "after"]))

    written = sorted({Path(path).name for path in found if not path.endswith(".csv")})
    history = next((found[path] for path in found if path.endswith(f"/{name}/history.csv")), None)
    if history is not None:
        steps = len({tuple(line.split(b",")[:2]) for line in history.splitlines()[1:]})
        return [("step", some(steps)), (how(), CHECKPOINT, some(steps // training_kills.SAVED_EVERY)),
                ("logging", some(steps)), (how(), str(draws.choice(written)), 1)]
    return [("reading", some(4)), ("optimising", some(8)), *[(how(), file, 1) for file in written]]
