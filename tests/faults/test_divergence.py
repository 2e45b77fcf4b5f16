"""What is not finite stops a training with its pictures named and its last good weights kept."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.files import read_json
from restore_ml.tasks.base import Material
from restore_ml.training import checkpoint, train
from restore_ml.training.sampler import Sampler
from tests.training import toy

STEP = 3
"""Where the poison is injected."""
INF = float("inf")


class Fitted(toy.Method):
    """A classical fit that gives what is not finite."""

    task = "toy"
    paper = {"order": 2}

    def prepare(self, material: Material, seed: int) -> dict[str, np.ndarray]:
        return {"means": np.array([1.0, np.nan], np.float32)}


@pytest.fixture
def project(tmp_path, monkeypatch):
    classes = {"toy": toy.ToyMethod, "fitted": Fitted}
    monkeypatch.setattr(registry, "method_class", lambda task, method: classes[method])
    toy.register(monkeypatch)
    toy.material(tmp_path / "samples/toy/train")
    return tmp_path


def spec(method: str = "toy", **settings: Any) -> dict[str, Any]:
    return {"run": method, "task": "toy", "method": method, "slots": {}, "seed": 3, "settings": settings,
            "threads": 1, "precision": "fp32", "versions": {}, "modules": {}}


def train_toy(root: Path, **settings: Any) -> tuple[dict[str, Any], Path]:
    """Train with a checkpoint after each step: what model.json says, and where the checkpoint lies."""
    facts = train.train_run(spec(**settings), root, root / "models/toy", checkpoint_seconds=0.0)
    assert facts == read_json(root / "models/toy/model.json")
    return facts, root / layout.CHECKPOINTS / facts["fingerprint"] / "checkpoint.safetensors"


def stopped(root: Path) -> Path:
    """The checkpoint of a sound training that was stopped just after step STEP, before that step was kept."""
    def progress(phase: str, done: int, total: int, loss: float) -> None:
        if done > STEP:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train.train_run(spec(), root, root / "models/toy", checkpoint_seconds=0.0, progress=progress)
    return next((root / layout.CHECKPOINTS).glob("*/checkpoint.safetensors"))


def pictures(root: Path, step: int) -> set[str]:
    """The pictures of the batch of a step, as sentences name them."""
    method = toy.ToyMethod({})
    sampler = Sampler(toy.PARTS, Material(root / "samples/toy/train"), method.settings, 3)
    return {identity[:12] for identity in sampler.ids(step)}


def in_loss(monkeypatch, value):
    real = toy.ToyMethod._pixel

    def pixel(self, context):
        terms = real(self, context)
        return {name: term + value if context.step == STEP else term for name, term in terms.items()}

    monkeypatch.setattr(toy.ToyMethod, "_pixel", pixel)


class Poison(torch.autograd.Function):
    """The same value, another gradient."""

    @staticmethod
    def forward(ctx, given, value):
        ctx.value = value
        return given.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient + ctx.value, None


def in_gradient(monkeypatch, value):
    real = toy.ToyMethod._fake

    def fake(self, context):
        return Poison.apply(real(self, context), value if context.step == STEP else 0.0)

    monkeypatch.setattr(toy.ToyMethod, "_fake", fake)


def in_data(monkeypatch, value):
    real, steps = Sampler.floats, count()

    def floats(self, *given):
        made = real(self, *given)
        if next(steps) == STEP:
            made.target["image"][1, 0, 2, 2] = value
        return made

    monkeypatch.setattr(Sampler, "floats", floats)


@pytest.mark.parametrize("value", [float("nan"), INF, -INF])
@pytest.mark.parametrize("inject", [in_loss, in_gradient, in_data])
def test_what_is_not_finite_stops_the_training_and_keeps_the_last_good_weights(project, monkeypatch, inject, value):
    whole, good = project / "whole", project / "good"
    shutil.copytree(project / "samples", whole / "samples")
    shutil.copytree(project / "samples", good / "samples")
    expected = stopped(good)
    with monkeypatch.context() as patch:
        inject(patch, value)
        facts, path = train_toy(whole)
    assert facts["status"] == "failed" and f"at step {STEP}:" in facts["reason"]
    named = facts["reason"].rpartition("held the pictures ")[2].rstrip(".")
    assert set(named.partition(", of which ")[0].split(", ")) == pictures(whole, STEP)
    tensors, values = checkpoint.load(path)
    assert values["step"] == STEP and checkpoint.not_finite(tensors) is None
    kept = checkpoint.load(expected)[0]
    assert kept.keys() == tensors.keys() and all(torch.equal(value, tensors[name]) for name, value in kept.items())
    assert not list((whole / "models/toy").glob("*.safetensors"))
    if inject is in_data:
        broken = toy.job(Material(whole / "samples/toy/train"), whole / "x").sampler
        broken.seed = 3
        assert f"of which {broken.ids(STEP)[1][:12]} brought values that are not finite" in facts["reason"]


def test_a_training_that_failed_once_fails_again_with_the_same_words(project):
    first, _ = train_toy(project, poison=STEP)
    second, _ = train_toy(project, poison=STEP)
    assert first == second and first["status"] == "failed"


def test_growth_without_end_is_stopped_where_numbers_end(project, monkeypatch):
    growing = lambda s: lambda p: torch.optim.SGD(p, 1e4)  # noqa: E731
    real = toy.ToyMethod.phases

    def phases(self):
        found = real(self)
        for phase in found:
            for player in phase.players:
                player.optimiser = growing(self.settings)
        return found

    monkeypatch.setattr(toy.ToyMethod, "phases", phases)
    seen: list[float] = []
    facts = train.train_run(spec(steps={"warm": 200, "joint": 0}), project, project / "models/toy",
                            progress=lambda phase, done, total, loss: seen.append(loss))
    assert facts["status"] == "failed" and "Training stopped at step" in facts["reason"]
    assert len(seen) < 50 and seen[-1] > 1e6 * seen[0]


def test_weights_that_the_last_step_broke_are_no_model_and_no_checkpoint(project, monkeypatch):
    real, count = torch.optim.Adam.step, [0]

    def step(self, *arguments):
        result = real(self, *arguments)
        count[0] += 1
        if count[0] == STEP:
            with torch.no_grad():
                weight = next(iter(self.param_groups[0]["params"]))
                weight[(0,) * weight.ndim] = INF
        return result

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    facts, path = train_toy(project, steps={"warm": STEP, "joint": 0})
    assert facts["status"] == "failed"
    assert f"at step {STEP - 1}: the weight net.0.weight is not finite" in facts["reason"]
    tensors, values = checkpoint.load(path)
    assert values["step"] == STEP - 1 and checkpoint.not_finite(tensors) is None


def test_a_calibration_or_a_fit_that_is_not_finite_is_no_model(project, monkeypatch):
    def finish(self, networks, material, seed):
        networks["net"][0].weight.data[0] = INF

    monkeypatch.setattr(toy.ToyMethod, "finish", finish)
    facts, _ = train_toy(project)
    assert facts["status"] == "failed" and "The weight net.0.weight is not finite" in facts["reason"]
    facts = train.train_run(spec("fitted"), project, project / "models/fitted")
    assert facts["status"] == "failed" and "The fitted array 'means' is not finite" in facts["reason"]
    assert not list(project.glob("models/*/*.safetensors"))
