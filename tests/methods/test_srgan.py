"""The run srgan: sa_subpixel_sr without attention, and nothing else changed."""

from pathlib import Path

import pytest
import torch
import yaml

from restore_ml.methods.super_resolution.sa_subpixel_sr import METHOD
from restore_ml.nn.self_attention import SelfAttention
from restore_ml.runs.merging import OWN, VGG16, merged
from tests.methods.enlarging import paper, parameters

RUNS = yaml.safe_load((Path(__file__).parents[2] / "graph/super_resolution/runs.yaml").read_text())["runs"]


@pytest.mark.parametrize("profile", ["quick", "cpu", "gpu", "paper"])
@pytest.mark.parametrize("features", [OWN, VGG16])
def test_it_differs_in_the_attention_alone(profile, features):
    settings, parent = (METHOD.paper | merged(RUNS[name], profile, name, features)
                        for name in ("srgan", "sa_subpixel_sr"))
    assert settings == {**parent, "attention": False} and parent["attention"] is True
    assert RUNS["srgan"]["method"] == "sa_subpixel_sr" and RUNS["srgan"]["features"] == "representation/features"


def test_its_generator_is_srresnet_s():
    with torch.device("meta"):
        generator = paper("sa_subpixel_sr", attention=False).build()["generator"]
    assert parameters(generator) == 1_549_462
    assert not any(isinstance(layer, SelfAttention) for layer in generator.modules())
