"""The maps of feature networks under either pooling."""

import pytest
import torch
from torch.nn import functional

from restore_ml.base.errors import UserError
from restore_ml.nn import features, vgg16
from restore_ml.nn.features import FeatureNet
from restore_ml.nn.tapped import tapped
from restore_ml.nn.vgg16_features import Vgg16Features

NETWORKS = {"own": (lambda: FeatureNet(2), features.TAPS), "vgg16": (Vgg16Features, vgg16.TAPS)}


@torch.no_grad()
@pytest.mark.parametrize("name", NETWORKS)
def test_with_its_own_pooling_it_is_the_network_s_own_pass(name: str) -> None:
    torch.manual_seed(0)
    make, taps = NETWORKS[name]
    network, x = make(), torch.rand(1, 3, 32, 48)
    maps, own = tapped(network, x, taps, "max"), network(x)
    assert list(maps) == list(own)
    for tap in taps:
        assert torch.equal(maps[tap], own[tap]), tap


@torch.no_grad()
@pytest.mark.parametrize("name", NETWORKS)
def test_the_mean_of_each_four_is_taken_between_blocks_alone(name: str) -> None:
    torch.manual_seed(0)
    make, _ = NETWORKS[name]
    network, x = make(), torch.rand(2, 3, 20, 20)
    maps = tapped(network, x, ["relu2_1", "relu1_2"])
    assert list(maps) == ["relu2_1", "relu1_2"]
    torch.testing.assert_close(maps["relu1_2"], network(x, ["relu1_2"])["relu1_2"])
    means = maps["relu1_2"].unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    torch.testing.assert_close(maps["relu2_1"], functional.relu(network.convolutions["2_1"](means)))


def test_nothing_behind_the_last_tap_is_computed_and_unknown_ones_are_refused() -> None:
    network, called = FeatureNet(2), []
    for name, module in network.convolutions.items():
        module.register_forward_hook(lambda *_, name=name: called.append(name))
    tapped(network, torch.rand(1, 3, 16, 16), ["relu1_2", "relu1_1"])
    assert called == ["1_1", "1_2"]
    with pytest.raises(UserError, match=r"The feature network random has no tap 'pool1'; there are relu1_1, .*relu5_4"):
        tapped(network, torch.rand(1, 3, 16, 16), ["pool1"])
