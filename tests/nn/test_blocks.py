"""Small pieces of networks, by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from restore_ml.base.errors import UserError
from restore_ml.nn.blocks import ResidualBlock, maybe_spectral, norm_layer
from restore_ml.nn.partial_conv import PartialBlock


@pytest.mark.parametrize("dilation", [1, 2])
def test_residual_block_by_hand(dilation: int) -> None:
    torch.manual_seed(0)
    block, x = ResidualBlock(3, dilation), torch.randn(2, 3, 9, 10)
    first, second = block.body[1], block.body[5]
    y = F.conv2d(F.pad(x, (dilation,) * 4, mode="reflect"), first.weight, first.bias, dilation=dilation)
    y = F.relu(F.instance_norm(y))
    y = F.conv2d(F.pad(y, (1,) * 4, mode="reflect"), second.weight, second.bias)
    torch.testing.assert_close(block(x), x + F.instance_norm(y))
    assert not hasattr(first, "parametrizations")


def test_spectral_blocks_have_no_bias_and_unit_norm() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(4, 2, spectral=True)
    assert ResidualBlock(4).body[1].dilation == (2, 2)
    for part in (block.body[1], block.body[5]):
        assert part.bias is None and hasattr(part, "parametrizations")
    linear = nn.Linear(3, 3)
    assert maybe_spectral(linear, False) is linear and not hasattr(linear, "parametrizations")


def test_normalisation_by_name() -> None:
    assert isinstance(norm_layer("batch", 3), nn.BatchNorm2d) and isinstance(norm_layer("none", 3), nn.Identity)
    instance, plain = norm_layer("instance", 3), norm_layer("plain_instance", 3)
    assert isinstance(instance, nn.InstanceNorm2d) and isinstance(plain, nn.InstanceNorm2d)
    assert instance.affine and not plain.affine
    with pytest.raises(UserError, match="batch, instance, plain_instance and none"):
        norm_layer("group", 3)


@pytest.mark.parametrize("norm", [True, False])
def test_partial_block_normalises_between_convolution_and_activation(norm: bool) -> None:
    torch.manual_seed(0)
    block, x, v = PartialBlock(2, 3, 3, 2, nn.LeakyReLU(0.2), norm), torch.randn(2, 2, 8, 8), torch.ones(2, 2, 8, 8)
    v[..., 1:5, 2:7] = 0
    y, known = block.convolution(x, v)
    if norm:
        y = F.batch_norm(y, None, None, training=True)
    made, after = block(x, v)
    torch.testing.assert_close(made, F.leaky_relu(y, 0.2))
    assert torch.equal(after, known) and block.convolution.bias is None and made.shape == (2, 3, 4, 4)
