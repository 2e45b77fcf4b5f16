"""The run fsrgan: fsrnet against a discriminator, with features whose weight is in SRGAN's units."""

from pathlib import Path

import pytest
import yaml

from restore_ml.methods.face_super_resolution.fsrnet import METHOD
from restore_ml.runs.merging import OWN, VGG16, merged

RUNS = yaml.safe_load((Path(__file__).parents[2] / "graph/face_super_resolution/runs.yaml").read_text())["runs"]


@pytest.mark.parametrize("profile", ["gpu", "paper"])
@pytest.mark.parametrize(("features", "weight"), [(OWN, 0.02), (VGG16, pytest.approx(0.1 / 12.75**2, rel=0.03))])
def test_it_differs_in_the_adversary_and_the_features_alone(profile, features, weight):
    settings, parent = (METHOD.paper | merged(RUNS[name], profile, name, features) for name in ("fsrgan", "fsrnet"))
    assert settings == {**parent, "steps": settings["steps"], "perceptual_weight": settings["perceptual_weight"]}
    assert settings["perceptual_weight"] == weight and settings["adversarial_weight"] == 1e-3
    assert settings["steps"]["gan"] > 0 and parent["steps"]["gan"] == 0
    assert sum(settings["steps"].values()) >= parent["steps"]["pixel"], "it is trained no less"
    assert RUNS["fsrgan"]["method"] == "fsrnet" and RUNS["fsrgan"]["features"] == "representation/features"
    assert RUNS["fsrnet"]["features"] == "none"
