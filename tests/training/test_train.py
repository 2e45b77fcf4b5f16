from __future__ import annotations

import csv

import numpy as np
import pytest
from safetensors.numpy import load_file

from restore_ml import registry
from restore_ml.base.files import read_json, sha256
from restore_ml.training import train
from tests.training import toy


class Fitted(toy.Method):
    task = "toy"
    paper = {"order": 2}

    def prepare(self, material, seed):
        means = [record.arrays["image"].mean() for record in material.records]
        return {"means": np.array(means, np.float32)}


@pytest.fixture
def project(tmp_path, monkeypatch):
    classes = {"toy": toy.ToyMethod, "fitted": Fitted}
    monkeypatch.setattr(registry, "method_class", lambda task, method: classes[method])
    toy.register(monkeypatch)
    toy.material(tmp_path / "samples" / "toy" / "train")
    return tmp_path


def spec(method="toy", **settings):
    return {"run": method, "task": "toy", "method": method, "slots": {}, "seed": 3, "settings": settings,
            "threads": 1, "precision": "fp32", "versions": {}, "modules": {}}


def test_a_trained_run_is_whole(project):
    out = project / "models" / "toy"
    facts = train.train_run(spec(), project, out)
    assert facts == read_json(out / "model.json")
    assert facts["status"] == "ok" and facts["steps"] == 14
    assert facts["parameters"] == {"net": 224 + 16 + 219, "critic": 112 + 37}
    assert facts["parameters_total"] == 459 and facts["training_ops"] > 0
    weights = load_file(out / "weights.safetensors")
    assert {name.split(".")[0] for name in weights} == {"net"}  # the critic is no part of the model
    rows = list(csv.DictReader((out / "history.csv").open()))
    assert {row["term"] for row in rows} == {"generator.mse", "generator.gan", "critic.real", "critic.fake"}
    key = sha256((out / "model.json").read_bytes())[:16]
    costs = read_json(project / ".state" / "costs" / f"train-{key}.json")
    assert costs["seconds"] > 0 and costs["steps"] == 14


def test_training_again_gives_the_same_bytes_and_really_trains(project):
    one, two = project / "models" / "one", project / "models" / "two"
    train.train_run(spec(), project, one)
    played: list[int] = []
    train.train_run(spec(), project, two, fresh=True, progress=lambda phase, done, total, loss: played.append(done))
    assert played == list(range(1, 15))
    for name in ("model.json", "weights.safetensors", "history.csv"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_a_finished_training_is_not_repeated_without_fresh(project):
    train.train_run(spec(), project, project / "a")
    played: list[int] = []
    train.train_run(spec(), project, project / "b", progress=lambda *arguments: played.append(1))
    assert not played
    assert (project / "a" / "weights.safetensors").read_bytes() == (project / "b" / "weights.safetensors").read_bytes()


def test_an_ended_training_is_marked_and_one_that_begins_is_not(project):
    facts = train.train_run(spec(), project, project / "a")
    mark = project / ".state/checkpoints" / facts["fingerprint"] / train.DONE
    assert mark.exists()
    seen: list[bool] = []
    train.train_run(spec(), project, project / "b", fresh=True, progress=lambda *arguments: seen.append(mark.exists()))
    assert mark.exists() and seen and not any(seen)


def test_divergence_is_a_status_with_its_reason(project):
    facts = train.train_run(spec(poison=2), project, project / "models" / "toy")
    assert facts["status"] == "failed" and "generator.mse is nan" in facts["reason"]
    assert not (project / "models" / "toy" / "weights.safetensors").exists()


def test_lack_of_memory_is_transient(project, monkeypatch):
    def refuse(self):
        raise MemoryError

    monkeypatch.setattr(toy.ToyMethod, "build", refuse)
    facts = train.train_run(spec(), project, project / "models" / "toy")
    assert (facts["status"], facts["reason"]) == ("transient", "MemoryError")


def test_a_bug_is_no_status(project, monkeypatch):
    monkeypatch.setattr(toy.ToyMethod, "build", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train.train_run(spec(), project, project / "models" / "toy")


def test_a_classical_fit_is_stored_like_weights(project):
    facts = train.train_run(spec("fitted"), project, project / "models" / "fitted")
    assert facts["status"] == "ok" and facts["parameters_total"] == 5
    arrays = load_file(project / "models" / "fitted" / "arrays.safetensors")
    assert arrays["means"].shape == (5,)


def test_the_fingerprint_knows_settings_and_data(project):
    material = toy.Material(project / "samples" / "toy" / "train")
    first = train.fingerprint(spec(), material, project)
    assert first == train.fingerprint(spec(), material, project)
    assert first != train.fingerprint(spec(ema=0.5), material, project)
    toy.material(material.folder, pictures=6)
    assert first != train.fingerprint(spec(), material, project)
