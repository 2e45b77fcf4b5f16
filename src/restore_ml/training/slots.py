"""What fills the slots of a run: the models of other runs, by the slot's name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.files import read_json

WEIGHTS = "vgg19"
"""The file of `weights:` in params.yaml that stands in for a feature network."""


def load_slots(root: Path, slots: Mapping[str, str], weights: Mapping[str, str]) -> dict[str, Any]:
    """By slot, what its run (`task/run`) gives. `weights`: the files that a user supplies.

    A missing or unusable model is a `UserError`.
    """
    return {slot: load_slot(root, run, weights) for slot, run in slots.items()}


def load_slot(root: Path, run: str, weights: Mapping[str, str]) -> Any:
    """The frozen network of a run that is a feature network, or of the user's file in its place; of any other run its
    method and model, ready to restore."""
    folder = root / layout.slot(run)
    model = read_json(folder / "model.json")
    if registry.method_class(model["task"], model["method"]).feature_network:
        from restore_ml.nn.features import load_features

        return load_features(Path(weights[WEIGHTS]) if WEIGHTS in weights else folder)
    from restore_ml.restoring.loading import load_model

    return load_model(folder, root)
