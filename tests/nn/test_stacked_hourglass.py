"""The hourglass of stacked hourglasses, level by level, and its bottleneck by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml.nn.stacked_hourglass import Bottleneck, Hourglass

MAPS = torch.rand((2, 6, 8, 12), generator=torch.Generator().manual_seed(0)) - 0.5


def stirred(net: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1), module.running_var.uniform_(0.5, 2)
    return net.eval()


@torch.no_grad()
def test_the_bottleneck_by_hand():
    """Norm and ReLU come before each convolution, and nothing behind the sum."""
    net = stirred(Bottleneck(6))
    norms, convolutions = net.body[::3], net.body[2::3]
    x = MAPS
    for norm, layer, size in zip(norms, convolutions, (1, 3, 1), strict=True):
        assert layer.kernel_size == (size, size)
        x = functional.conv2d(functional.relu(norm(x)), layer.weight, layer.bias, padding=size // 2)
    assert [layer.out_channels for layer in convolutions] == [3, 3, 6]
    torch.testing.assert_close(net(MAPS), MAPS + x)


@torch.no_grad()
@pytest.mark.parametrize("depth", [1, 2])
def test_a_level_by_hand(depth):
    net = stirred(Hourglass(6, depth))
    below = net.after(net.inner(net.before(functional.max_pool2d(MAPS, 2))))
    expected = net.beside(MAPS) + below.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(net(MAPS), expected)
    assert isinstance(net.inner, Hourglass if depth > 1 else Bottleneck)


def test_there_are_as_many_levels_as_asked_for():
    with torch.device("meta"):
        bottlenecks = [sum(isinstance(module, Bottleneck) for module in Hourglass(8, depth).modules())
                       for depth in (1, 2, 4)]
    assert bottlenecks == [4, 7, 13]
    with pytest.raises(RuntimeError):
        Hourglass(2, 3).eval()(torch.zeros(1, 2, 12, 12))
