"""The U-Net with adaptive instance normalisation: the card's counts, layer and network against values by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml.nn.adaptive_unet import AdaptiveUNet, adaptive_instance_norm
from tests.methods.by_hand import draw
from tests.methods.layers import parameters


def test_the_card_s_counts() -> None:
    with torch.device("meta"):
        net = AdaptiveUNet(1, 2, 313)
        assert parameters(net.unet) == 54_405_506 and net.numbers[-1].out_features == 9_856
        assert parameters(net.numbers) == 314 * 512 + 513 * 512 + 513 * 9_856
        assert parameters(AdaptiveUNet(1, 2, 313, hidden=9_856).numbers) == pytest.approx(197e6, rel=0.005)
        assert [type(layer) for layer in net.numbers] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
        assert sum(isinstance(layer, nn.Dropout) for layer in net.modules()) == 3
        assert not any(isinstance(layer, nn.Dropout) for layer in AdaptiveUNet(1, 2, 3, dropout=False).modules())


def test_the_norm_by_hand() -> None:
    x, scale, shift = draw(2, 3, 4, 5), 3 * draw(2, 3, seed=1) - 1, draw(2, 3, seed=2)
    torch.testing.assert_close(adaptive_instance_norm(x, torch.ones(2, 3), torch.zeros(2, 3)),
                               nn.InstanceNorm2d(3)(x))
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)
    expected = (x - mean) / (variance + 1e-5).sqrt() * scale[:, :, None, None] + shift[:, :, None, None]
    torch.testing.assert_close(adaptive_instance_norm(x, scale, shift), expected)


def test_the_network_by_hand() -> None:
    """Three levels: the lowest and the first have no norm; scales come before shifts, encoder before decoder."""
    torch.manual_seed(0)
    net, x, vector = AdaptiveUNet(1, 2, 4, width=2, levels=3, hidden=5).eval(), draw(2, 1, 16, 16), draw(2, 4, seed=1)
    nn.init.normal_(net.numbers[-1].weight)
    assert net.channels == [4, 4, 2]
    numbers = net.numbers(vector)
    scales, shifts = numbers[:, :10].split([4, 4, 2], 1), numbers[:, 10:].split([4, 4, 2], 1)
    layers = [block[1] for block in (*net.unet.down, *net.unet.up)]
    assert all(layer.bias is not None for layer in layers)

    def norm(x: torch.Tensor, place: int) -> torch.Tensor:
        return functional.instance_norm(x) * scales[place][:, :, None, None] + shifts[place][:, :, None, None]

    one = layers[0](x)
    two = norm(layers[1](functional.leaky_relu(one, 0.2)), 0)
    deep = layers[2](functional.leaky_relu(two, 0.2))
    up = norm(layers[3](deep.relu()), 1)
    up = norm(layers[4](torch.cat([two, up], 1).relu()), 2)
    expected = layers[5](torch.cat([one, up], 1).relu()).tanh()
    torch.testing.assert_close(net(x, vector), expected)


def test_scales_begin_at_one_and_shifts_at_zero() -> None:
    torch.manual_seed(0)
    net = AdaptiveUNet(1, 2, 4, width=2, levels=3, hidden=5)
    assert net.numbers[-1].bias.tolist() == [1] * 10 + [0] * 10


def test_dropout_comes_after_the_norm() -> None:
    """In training a part of what the next layer sees is 0; a norm behind it would move it."""
    torch.manual_seed(0)
    net, seen = AdaptiveUNet(1, 2, 4, width=8, levels=3).train(), []
    net.unet.up[1][0].register_forward_hook(lambda module, arguments, output: seen.append(arguments[0]))
    net(draw(2, 1, 16, 16), draw(2, 4, seed=1))
    below = seen[0][:, 16:]  # behind the skip's 16 channels
    assert below.shape[1] == 16 and 0.3 < (below == 0).float().mean().item() < 0.7
