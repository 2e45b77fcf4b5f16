"""Which trainings an edit makes stale, by DVC's own word, where runs share losses and a feature network.

All networks are trained once, for a step or two. After an edit the stage `code` is run and `dvc status` read; where a
change reaches a run through another stage (new features, new pictures) that stage is really run as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from pipelines.machinery import forkserver
from restore_ml.base import layout
from tests.pipeline.conftest import ROOT, Project, make_project

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]

ADVERSARIAL = {"context_encoder", "edge_connect"}
PERCEPTUAL = {"partial_conv", "edge_connect"}
WITH_FEATURES = {"partial_conv", "edge_connect"}
RUNS = {"super_resolution": {"vdsr"}, "inpainting": {*ADVERSARIAL, *PERCEPTUAL}, "representation": {"features"}}
STAGES = [layout.stage("train", task, run) for task, runs in RUNS.items() for run in sorted(runs)]


def ran(output: str) -> set[str]:
    """The stages that DVC ran."""
    return set(re.findall(r"Running stage '([^']+)'", output))


def stale(project: Project) -> set[str]:
    """The runs that DVC would train now, after the stage `code`."""
    project.dvc("repro", "code")
    changes = json.loads(project.dvc("status", "--json", *STAGES).stdout)
    return {stage.partition("@")[2] for stage in changes}


def small(settings: dict) -> dict:
    """The same with a step or two a phase."""
    steps = settings["steps"]
    return {**settings, "steps": dict.fromkeys(steps, 1) if isinstance(steps, dict) else 2}


@dataclass
class Built(Project):
    """A project whose networks are trained; `scored`: what its score depended on then."""

    scored: str


FEATURES = layout.stage("train", "representation", "features")


class Edit:
    """Replaces a piece of a file of the project while the block runs."""

    def __init__(self, project: Project, name: str, old: str, new: str) -> None:
        self.path, self.old, self.new = project.root / name, old, new

    def __enter__(self) -> None:
        self.text = self.path.read_text(encoding="utf-8")
        assert self.old in self.text, (self.path, self.old)
        self.path.write_text(self.text.replace(self.old, self.new, 1), encoding="utf-8")

    def __exit__(self, *error: object) -> None:
        self.path.write_text(self.text, encoding="utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """A project of four networks and the feature network that two of them need, all trained, and its fork server."""
    runs = {}
    for task, names in RUNS.items():
        real = YAML(typ="safe").load((ROOT / f"graph/{task}/runs.yaml").read_text(encoding="utf-8"))["runs"]
        runs[task] = {name: {"features": real[name]["features"], "quick": small(real[name]["quick"])} for name in names}
    runs["super_resolution"]["vdsr"]["quick"]["scales"] = [2]
    assert {name for name, run in runs["inpainting"].items() if run["features"] != "none"} == WITH_FEATURES
    project = make_project(tmp_path_factory.mktemp("exactness"), runs, {
        "super_resolution": {"settings": {"scales": [2], "variants": []}}})
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**project.environment, **dict.fromkeys(forkserver.THREADS, "1")}.items():
            patch.setenv(name, value)
        with forkserver.running(project.root):
            done = project.dvc("repro", *STAGES)
            assert {*STAGES, "code", layout.stage("validate", "inpainting")} <= ran(done.stdout)
            scored = (project.root / "code/score/inpainting.json").read_text("utf-8")
            yield Built(project.root, project.environment, scored)


def test_nothing_is_stale_after_training(built):
    assert stale(built) == set()
    assert {path.parent.name for path in built.root.glob("models/*/*/weights.safetensors")} == {
        run for runs in RUNS.values() for run in runs}


SCORED = ("metrics/fidelity.py",)
"""What scores are made with: metrics, and the networks that some figures need."""


@pytest.mark.parametrize(("name", "old", "new", "runs"), [
    ("losses/adversarial.py", '"""', '"""More words. ', set()),
    ("losses/adversarial.py", "\ndef ", "\nUNUSED = 1\n\n\ndef ", ADVERSARIAL),
    ("losses/perceptual.py", "\ndef ", "\nUNUSED = 1\n\n\ndef ", PERCEPTUAL),
    ("nn/features.py", "\ndef ", "\nUNUSED = 1\n\n\ndef ", {"features", *WITH_FEATURES}),
    ("metrics/fidelity.py", "\ndef ", "\nUNUSED = 1\n\n\ndef ", set()),
], ids=["docstring", "adversarial loss", "perceptual loss", "feature network", "metric"])
def test_an_edit_of_the_code_makes_stale_exactly_who_imports_it(built, name, old, new, runs):
    with Edit(built, f"src/restore_ml/{name}", old, new):
        assert stale(built) == runs
    scored = (built.root / "code/score/inpainting.json").read_text(encoding="utf-8")
    assert (scored != built.scored) == (name in SCORED)  # an edit is seen where it matters


def test_other_features_retrain_themselves_and_exactly_those_who_need_them(built):
    with Edit(built, "graph/representation/runs.yaml", "buckets: 64", "buckets: 32"):
        assert stale(built) == {"features"}
        assert ran(built.dvc("repro", FEATURES).stdout) == {FEATURES}
        assert stale(built) == WITH_FEATURES
    built.dvc("repro", "code", FEATURES)
    assert stale(built) == set()


def test_a_new_test_set_retrains_nothing(built, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    built.run("restore-ml", "data", "add", "mine", str(tmp_path))
    done = built.dvc("repro", *(layout.stage("validate", task) for task in RUNS))
    assert {"prepare", *(layout.stage(stage, task) for task in RUNS for stage in ("degrade", "validate"))} <= ran(
        done.stdout)
    assert list((built.root / "samples/inpainting/inputs/mine").glob("*.arrow"))
    assert stale(built) == set()
