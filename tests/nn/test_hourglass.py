"""The two networks of deep image priors, layer by layer."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.nn.hourglass import Hourglass, PriorUNet, enlarging


def twice(block: nn.Sequential, x: Tensor) -> Tensor:
    """Two 3x3 convolutions, each followed by instance normalisation (over places, no scale) and ReLU."""
    for number in (0, 3):
        x = F.conv2d(x, block[number].weight, block[number].bias, padding=1)
        mean, spread = x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)
        x = ((x - mean) / (spread + 1e-5).sqrt()).clamp(min=0)
    return x


def test_the_u_net_by_hand() -> None:
    """Halved by maxima, enlarged by deconvolution to half the channels, joined with the map of the same size."""
    torch.manual_seed(0)
    network, x = PriorUNet(4, [3, 6], 1), torch.rand(1, 4, 16, 16)
    first = twice(network.down[0], x)
    second = twice(network.down[1], F.max_pool2d(first, 2))
    third = twice(network.down[2], F.max_pool2d(second, 2))
    assert [block[0].out_channels for block in network.down] == [3, 6, 6]
    y = twice(network.up[0], torch.cat([F.conv_transpose2d(third, network.grow[0].weight, network.grow[0].bias, 2, 1),
                                        second], 1))
    y = twice(network.up[1], torch.cat([F.conv_transpose2d(y, network.grow[1].weight, network.grow[1].bias, 2, 1),
                                        first], 1))
    torch.testing.assert_close(network(x), torch.sigmoid(network.head(y)), atol=1e-5, rtol=1e-4)


def test_the_hourglass_by_hand() -> None:
    torch.manual_seed(0)
    network, x = Hourglass(4, [3, 5], 2).eval(), torch.rand(1, 4, 16, 16)
    outer = network.body
    inner = outer.inner

    def layer(parts: nn.Sequential, x: Tensor, kernel: int, stride: int = 1) -> Tensor:
        convolution, norm, activation = parts
        assert isinstance(norm, nn.BatchNorm2d) and activation.negative_slope == 0.2
        edge = kernel // 2
        padded = F.pad(x, (edge,) * 4, mode="reflect") if edge else x
        return F.leaky_relu(norm(F.conv2d(padded, convolution.weight, convolution.bias, stride)), 0.2)

    def level(part: nn.Module, x: Tensor, deeper: nn.Module | None) -> Tensor:
        down = layer(part.down[3:], layer(part.down[:3], x, 3, 2), 3)
        deep = level(deeper, down, None) if deeper is not None else down
        grown = F.conv_transpose2d(deep, part.grow.weight, part.grow.bias, 2, 1)
        joined = part.join[0](torch.cat([layer(part.skip, x, 1), grown], 1))
        return layer(part.join[4:], layer(part.join[1:4], joined, 3), 1)

    torch.testing.assert_close(network(x), torch.sigmoid(network.head(level(outer, x, inner))), atol=1e-5, rtol=1e-4)
    assert isinstance(inner.inner, nn.Identity) and outer.skip[0].out_channels == 2
    assert [part.down[0].out_channels for part in (outer, inner)] == [3, 5] and outer.grow.in_channels == 5


@pytest.mark.parametrize("how", ["deconv", "nearest", "bilinear"])
def test_enlarging(how: str) -> None:
    x = torch.rand(1, 4, 5, 6)
    assert enlarging(4, 2, how)(x).shape == (1, 2, 10, 12)
    same = enlarging(4, 4, how)
    if how == "deconv":
        assert (same.kernel_size, same.stride, same.padding) == ((4, 4), (2, 2), (1, 1))
    else:
        torch.testing.assert_close(same(x), F.interpolate(x, scale_factor=2, mode=how))
