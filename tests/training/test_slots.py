"""What fills a slot: the network of a run, a user's file in its place, or VGG16 by its source."""

import pytest
import torch
from torch import nn

from restore_ml.base.errors import UserError
from restore_ml.base.files import write_json
from restore_ml.nn import features, foreign_weights
from restore_ml.nn.face_recogniser import SOURCE as FACES
from restore_ml.nn.face_recogniser import FaceRecogniser
from restore_ml.nn.face_resnet import FaceResNet
from restore_ml.nn.vgg16_features import SOURCE, Vgg16Features
from restore_ml.training.slots import load_slots


@pytest.fixture
def shelf(monkeypatch):
    torch.manual_seed(0)
    state = Vgg16Features().state_dict()
    monkeypatch.setattr(foreign_weights, "load", lambda name: state)
    return state


def test_vgg16_is_taken_from_the_shelf_wherever_the_project_lies(tmp_path, shelf):
    filled = load_slots(tmp_path, {"features": SOURCE}, {})["features"]
    assert isinstance(filled, Vgg16Features) and filled.source == SOURCE
    torch.testing.assert_close(dict(filled.state_dict()), dict(shelf))


def test_another_vgg16_than_that_of_training_is_refused(tmp_path, shelf):
    with pytest.raises(UserError, match="'vgg16-12345678' is not the VGG16 of this version"):
        load_slots(tmp_path, {"features": "vgg16-12345678"}, {})


def test_dlibs_face_network_is_taken_from_the_shelf(tmp_path, monkeypatch):
    torch.manual_seed(0)
    state = FaceResNet().state_dict()
    monkeypatch.setattr(foreign_weights, "load", lambda name: state)
    filled, model = load_slots(tmp_path, {"recogniser": FACES}, {})["recogniser"]
    assert isinstance(filled, FaceRecogniser) and filled.source == FACES and model is None
    with pytest.raises(UserError, match="'resnet29-12345678' is not that of this version"):
        load_slots(tmp_path, {"recogniser": "resnet29-12345678"}, {})


def test_a_run_s_network_or_the_user_s_file_in_its_place(tmp_path, monkeypatch):
    write_json(tmp_path / "models/representation/features/model.json", {"task": "representation", "method": "features"})
    monkeypatch.setattr(features, "load_features", lambda path: nn.Identity() if path.is_dir() else path)
    slots = {"features": "representation/features"}
    assert isinstance(load_slots(tmp_path, slots, {})["features"], nn.Identity)
    assert str(load_slots(tmp_path, slots, {"vgg19": "own.safetensors"})["features"]) == "own.safetensors"
