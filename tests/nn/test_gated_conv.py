"""The gated layer: what it is when its gates are open, and which half of its convolution they are."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from restore_ml.nn.gated_conv import GatedConv2d, enlarging


def test_open_gates_leave_a_plain_elu_convolution_and_closed_ones_nothing() -> None:
    torch.manual_seed(0)
    layer, x = GatedConv2d(3, 4, 3, 2, 1), torch.randn(2, 3, 8, 10)
    plain = F.elu(F.conv2d(x, layer.convolution.weight[:4], layer.convolution.bias[:4], 2, 1))
    with torch.no_grad():
        layer.convolution.weight[4:] = 0
        for bias, share in ((60.0, 1.0), (0.0, 0.5), (-60.0, 0.0)):
            layer.convolution.bias[4:] = bias
            torch.testing.assert_close(layer(x), share * plain)
    assert plain.min() < 0 and layer(x).shape == (2, 4, 4, 5)


def test_each_channel_has_a_gate_of_its_own() -> None:
    layer = GatedConv2d(1, 2, 1)
    with torch.no_grad():
        layer.convolution.weight.zero_()
        layer.convolution.bias.copy_(torch.tensor([3.0, -1.0, 60.0, 0.0]))
    made = layer(torch.zeros(1, 1, 1, 1)).flatten()
    torch.testing.assert_close(made, torch.tensor([3.0, 0.5 * (torch.tensor(-1.0).exp() - 1)]))


@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (5, 1), (3, 4)])
def test_size_is_kept(kernel: int, dilation: int) -> None:
    layer = GatedConv2d(2, 3, kernel, dilation=dilation, activation=nn.ReLU())
    assert layer(torch.randn(1, 2, 9, 11)).shape == (1, 3, 9, 11)
    assert layer.convolution.dilation == (dilation, dilation) and layer.convolution.out_channels == 6
    assert layer(torch.randn(1, 2, 9, 11)).min() >= 0  # the other activation


def test_enlarging_repeats_and_then_convolves() -> None:
    torch.manual_seed(0)
    part, x = enlarging(2, 3), torch.randn(1, 2, 4, 5)
    torch.testing.assert_close(part(x), part[1](x.repeat_interleave(2, 2).repeat_interleave(2, 3)))
