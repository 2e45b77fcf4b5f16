"""A model whose slot holds VGG16 is kept, known again, laid out for MLflow and restored without a run for it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from restore_ml.base.files import read_json, write_json
from restore_ml.nn import foreign_weights
from restore_ml.nn.vgg16_features import SOURCE, Vgg16Features
from restore_ml.promotion.champion_folders import install
from restore_ml.restoring.loading import load_model
from restore_ml.serving.engine import model_hash
from restore_ml.tracking.writing import stage

TASK, RUN = "style_transfer", "neural_style_transfer"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_json(tmp_path / "models" / TASK / RUN / "model.json", {
        "run": RUN, "task": TASK, "method": RUN, "settings": {"steps": 1}, "seed": 1, "slots": {"features": SOURCE},
        "status": "ok", "reason": "", "weights_sha256": ""})
    return tmp_path


def test_it_becomes_champion_alone(root: Path) -> None:
    folder = install(root, TASK, RUN, {"sentence": "won"})
    assert sorted(path.name for path in folder.iterdir()) == ["decision.json", "model.json"]
    assert read_json(folder / "model.json")["slots"] == {"features": SOURCE}


def test_its_hash_tells_the_weights(root: Path) -> None:
    folder = root / "models" / TASK / RUN
    before = model_hash(folder, root)
    write_json(folder / "model.json", read_json(folder / "model.json") | {"slots": {"features": "vgg16-12345678"}})
    assert model_hash(folder, root) != before and len(before) == 64


def test_mlflow_gets_the_model_alone(root: Path, tmp_path: Path) -> None:
    folder = root / "models" / TASK / RUN
    stage(SimpleNamespace(folder=folder, root=root, task=TASK, run=RUN, model=read_json(folder / "model.json")),
          tmp_path / "project")
    assert sorted(path.name for path in (tmp_path / "project/models").rglob("*")) == ["model.json", RUN, TASK]


def test_it_restores_with_what_its_slot_names(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    state = Vgg16Features().state_dict()
    monkeypatch.setattr(foreign_weights, "load", lambda name: state)
    method, model = load_model(root / "models" / TASK / RUN, root)
    assert isinstance(model.slots["features"], Vgg16Features)
    content = torch.rand(1, 3, 16, 16)
    made = method.restore(model, {"content": content, "style": torch.rand(1, 3, 16, 16)}, 1)["image"]
    assert made.shape == content.shape
