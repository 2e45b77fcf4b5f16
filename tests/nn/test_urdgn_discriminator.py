"""URDGN's discriminator, layer by layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml.nn.urdgn_discriminator import Discriminator
from tests.methods.by_hand import draw


def test_the_card_s_number_of_parameters():
    with torch.device("meta"):
        assert sum(p.numel() for p in Discriminator().parameters()) == 6_859_425


@pytest.mark.parametrize("side", [32, 64])
def test_layer_by_layer(side):
    """Convolutions with 1, 2, 4 and 3 times the width; maps are dropped, then numbers."""
    torch.manual_seed(2)
    net, x = Discriminator(side, 4, 8).eval(), draw(2, 3, side, side) * 2 - 1
    convolutions = [module for module in net.net if isinstance(module, nn.Conv2d)]
    first, last = (module for module in net.net if isinstance(module, nn.Linear))
    assert [module.out_channels for module in convolutions] == [4, 8, 16, 12]
    assert (first.in_features, first.out_features, last.out_features) == (12 * (side // 16) ** 2, 8, 1)
    with torch.no_grad():
        y = x
        for module in convolutions:
            y = functional.relu(functional.max_pool2d(
                functional.conv2d(y, module.weight, module.bias, padding=2), 2))
        hidden = functional.relu(functional.linear(y.flatten(1), first.weight, first.bias))
        np.testing.assert_allclose(net(x), functional.linear(hidden, last.weight, last.bias), atol=1e-5)
    order = [type(module).__name__ for module in net.net]
    assert order == 3 * ["Conv2d", "MaxPool2d", "ReLU", "Dropout2d"] + [
        "Conv2d", "ReLU", "MaxPool2d", "Dropout2d", "Flatten", "Linear", "ReLU", "Dropout", "Linear"]
    assert [module.p for module in net.net if hasattr(module, "p")] == [0.2, 0.2, 0.2, 0.2, 0.5]


def test_dropout_draws_in_training_alone():
    torch.manual_seed(0)
    net, x = Discriminator(32, 4, 8), draw(2, 3, 32, 32)
    assert not torch.equal(net(x), net(x))
    assert torch.equal(net.eval()(x), net(x))
