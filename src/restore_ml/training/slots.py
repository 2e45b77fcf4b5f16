"""What fills the slots of a run, by the slot's name: the models of other runs, or networks of others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.files import read_json

WEIGHTS = "vgg19"
"""The file of `weights:` in params.yaml that stands in for a feature network."""
FACES = "resnet29-"
"""How the source of the shelf's recogniser of faces begins."""


def load_slots(root: Path, slots: Mapping[str, str], weights: Mapping[str, str]) -> dict[str, Any]:
    """By slot, what its run (`task/run`) or feature network of others gives. `weights`: the files that a user supplies.

    A missing or unusable model is a `UserError`.
    """
    return {slot: load_slot(root, run, weights) for slot, run in slots.items()}


def load_slot(root: Path, run: str, weights: Mapping[str, str]) -> Any:
    """The frozen network of a run that is a feature network, of the user's file in its place, or of the shelf's VGG16
    where the slot holds its source in the place of `task/run`; of any other run its method and model, ready to
    restore. The shelf's recogniser of faces, held by its source, stands for a method and needs no model."""
    if run.startswith(FACES):
        from restore_ml.nn.face_recogniser import load_face_recogniser

        return load_face_recogniser(run), None
    if not layout.is_run(run):
        from restore_ml.nn.vgg16_features import load_vgg16_features

        return load_vgg16_features(run)
    folder = root / layout.slot(run)
    model = read_json(folder / "model.json")
    if registry.method_class(model["task"], model["method"]).feature_network:
        from restore_ml.nn.features import load_features

        return load_features(Path(weights[WEIGHTS]) if WEIGHTS in weights else folder)
    from restore_ml.restoring.loading import load_model

    return load_model(folder, root)
