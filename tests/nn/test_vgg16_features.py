"""VGG16 in the place of a feature network: its taps, its pooling, its source."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml.base.errors import UserError
from restore_ml.nn import foreign_weights, vgg16_features
from restore_ml.nn.vgg16 import CONVOLUTIONS, MEAN, STD, TAPS
from restore_ml.nn.vgg16_features import POOLS, SOURCE, Vgg16Features, load_vgg16_features


@pytest.fixture
def network() -> Vgg16Features:
    torch.manual_seed(0)
    return Vgg16Features()


def plain(network: Vgg16Features, x: torch.Tensor, last: str) -> torch.Tensor:
    """A pass of its own: convolutions and ReLUs, and a maximum of 2 x 2 behind each block."""
    ends = {"1_2", "2_2", "3_3", "4_3", "5_3"}
    for name in CONVOLUTIONS:
        x = functional.relu(network.convolutions[name](x))
        if last == f"relu{name}":
            return x
        if name in ends:
            x = nn.MaxPool2d(2)(x)
            if last == f"pool{name[0]}":
                return x
    raise AssertionError(last)


@torch.no_grad()
def test_pools_stand_beside_the_taps_in_the_order_asked_for(network: Vgg16Features) -> None:
    x = torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (MEAN, STD))
    wanted = ["pool2", "relu1_1", "relu3_3", "pool1", "relu1_2"]
    maps = network(x, wanted)
    assert list(maps) == wanted and list(network(x)) == list(TAPS)
    for tap in wanted:
        torch.testing.assert_close(maps[tap], plain(network, (x - mean) / std, tap))
    bare = network(x, ["pool3"], normalise=False)["pool3"]
    torch.testing.assert_close(bare, plain(network, x, "pool3"))
    assert bare.shape == (2, 256, 4, 4) and POOLS == ("pool1", "pool2", "pool3", "pool4", "pool5")


@torch.no_grad()
def test_another_pooling_is_that_of_the_pools_too(network: Vgg16Features) -> None:
    x = torch.rand(1, 3, 16, 16)
    maps = network(x, ["relu1_2", "pool1"], pool=lambda value: functional.avg_pool2d(value, 2))
    torch.testing.assert_close(maps["pool1"], functional.avg_pool2d(maps["relu1_2"], 2))


def test_nothing_behind_the_last_tap_is_computed(network: Vgg16Features, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    for name, module in network.convolutions.items():
        module.register_forward_hook(lambda *_, name=name: called.append(name))
    network(torch.rand(1, 3, 16, 16), ["pool2"])
    assert called == ["1_1", "1_2", "2_1", "2_2"]


def test_unknown_taps_are_refused(network: Vgg16Features) -> None:
    with pytest.raises(UserError, match="VGG16 has no tap 'relu3_4'; there are relu1_1"):
        network(torch.rand(1, 3, 16, 16), ["relu1_1", "relu3_4"])


def test_the_source_names_the_pinned_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SOURCE == vgg16_features.Vgg16Features.source == "vgg16-" + foreign_weights.WEIGHTS["vgg16"].sha256[:8]
    state = {name: value + 1 for name, value in Vgg16Features().state_dict().items()}
    monkeypatch.setattr(foreign_weights, "load", lambda name: state if name == "vgg16" else {})
    network = load_vgg16_features(SOURCE)
    assert not network.training and not any(value.requires_grad for value in network.parameters())
    torch.testing.assert_close(dict(network.state_dict()), state)
    with pytest.raises(UserError, match=r"'vgg16-00000000' is not the VGG16 of this version, which is vgg16-.*anew"):
        load_vgg16_features("vgg16-00000000")
