"""The three networks of TDAE: the card's counts, layer by layer, and transformers that begin as nothing."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.nn.spatial_transformer import SpatialTransformer
from restore_ml.nn.transformative_autoencoder import (
    Encoder,
    FirstDecoder,
    SecondDecoder,
    clipped,
    large_transformer,
    transformer,
)
from tests.methods.by_hand import draw


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_card_s_numbers_of_parameters():
    with torch.device("meta"):
        assert parameters(FirstDecoder(stn=False)) == 2_879_875 and parameters(Encoder(stn=False)) == 430_595
        assert parameters(SecondDecoder()) == 2_225_155
        assert parameters(transformer(512, 32)) == 267_744 and parameters(large_transformer(256, 64)) == 890_672
        moved = [module for network in (FirstDecoder(), Encoder()) for module in network.modules()
                 if isinstance(module, SpatialTransformer)]
    assert [parameters(module) for module in moved[:2]] == [267_744, 890_672] and len(moved) == 4


def run(x: Tensor, layers: list[nn.Module], plan: str) -> Tensor:
    """The convolutions and batch norms of `layers` in the order of the plan: `c` a convolution, `b` a batch norm, `r`
    ReLU, `d` pixels doubled, `m` the maximum of 2 x 2."""
    weights = iter([layer for layer in layers if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)])
    for letter in plan.replace(" ", ""):
        if letter == "c":
            layer = next(weights)
            x = functional.conv2d(x, layer.weight, layer.bias, padding=layer.weight.shape[2] // 2)
        elif letter == "b":
            layer = next(weights)
            x = functional.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=1e-5)
        elif letter == "r":
            x = x.clamp(min=0)
        elif letter == "d":
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        else:
            x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))
    assert next(weights, None) is None
    return x


@pytest.mark.parametrize(("network", "side", "plan", "sizes", "widths"), [
    (FirstDecoder(64, 4, stn=False), 8, "cr cr cbr d cbr d cbr d cbr c", [5, 3, 3, 3, 5, 5, 5],
     [4, 8, 32, 16, 8, 4, 3]),
    (Encoder(64, 4, stn=False), 64, "cbr m cbr m cbr m cbr c", [5, 5, 3, 3, 3], [4, 8, 16, 32, 3]),
    (SecondDecoder(4), 8, "cbr d cbr d cbr d cbr c", [3, 3, 5, 5, 5], [32, 16, 8, 4, 3])],
    ids=["decoder_1", "encoder", "decoder_2"])
def test_the_networks_layer_by_layer(network, side, plan, sizes, widths):
    torch.manual_seed(1)
    for module in network.eval().modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1), module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2), nn.init.normal_(module.bias, 0, 0.1)
    layers = list(network.children())
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [layer.kernel_size[0] for layer in convolutions] == sizes
    assert [layer.out_channels for layer in convolutions] == widths
    x = draw(2, 3, side, side) * 2 - 1
    with torch.no_grad():
        np.testing.assert_allclose(network(x), run(x, layers, plan), atol=1e-5)


@pytest.mark.parametrize("side", [64, 128])
def test_transformers_stand_where_the_card_has_them_and_begin_as_the_identity(side):
    torch.manual_seed(0)
    seen: list[tuple[int, int]] = []
    for network, x, places in ((FirstDecoder(side, 2), draw(1, 3, side // 8, side // 8), [8, 13]),
                               (Encoder(side, 2), draw(1, 3, side, side), [11, 16])):
        layers = list(network.eval().children())
        assert [place for place, layer in enumerate(layers) if isinstance(layer, SpatialTransformer)] == places
        for place in places:
            layers[place].register_forward_hook(lambda own, given, made: seen.append(tuple(made.shape[1:3])))
            assert not layers[place].similarity.weight.any() and not layers[place].similarity.bias.any()
        plain = nn.Sequential(*(layer for layer in layers if not isinstance(layer, SpatialTransformer)))
        with torch.no_grad():
            np.testing.assert_allclose(network(x), plain(x), atol=1e-5)
    assert seen == [(16, side // 4), (8, side // 2), (8, side // 4), (16, side // 8)]


@pytest.mark.parametrize(("place", "kernels", "numbers"), [
    (0, [(20, 16, 5), (20, 20, 5)], 80), (1, [(4, 8, 5), (20, 4, 5), (20, 20, 3)], 180),
    (2, [(20, 8, 5), (20, 20, 5)], 80), (3, [(20, 16, 5), (20, 20, 5)], 80)])
def test_localisation_layer_by_layer(place, kernels, numbers):
    """A maximum before each convolution, but for the first one where maps have 16 pixels, and ReLU behind; no padding
    at the published sizes."""
    moved = [module for network in (FirstDecoder(128, 2), Encoder(128, 2)) for module in network
             if isinstance(module, SpatialTransformer)]
    layers = list(moved[place].locate.children())
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [(*layer.weight.shape[:2], layer.kernel_size[0]) for layer in convolutions] == kernels
    assert all(layer.padding == (0, 0) for layer in convolutions)
    kinds = [nn.MaxPool2d, nn.Conv2d, nn.ReLU] * len(kernels) + [nn.Flatten, nn.Linear, nn.ReLU]
    kinds = kinds[place == 3:]
    assert [type(layer) for layer in layers] == kinds and (layers[-2].in_features, layers[-2].out_features) == (
        numbers, 20)


def test_clipped():
    assert clipped(torch.tensor([-2.0, -0.5, 0.5, 3.0])).tolist() == [-1.0, -0.5, 0.5, 1.0]
