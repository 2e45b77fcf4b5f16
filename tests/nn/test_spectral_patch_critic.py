import pytest
import torch
from torch import nn

from restore_ml.nn.spectral_patch_critic import spectral_patch_critic


def test_layers_are_the_authors() -> None:
    torch.manual_seed(0)
    critic = spectral_patch_critic(64)
    convolutions = list(critic[::2])
    assert [(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding)
            for layer in convolutions] == [
        (3, 64, (5, 5), (2, 2), (1, 1)), (64, 128, (5, 5), (2, 2), (1, 1)), (128, 256, (5, 5), (2, 2), (1, 1)),
        (256, 512, (5, 5), (1, 1), (1, 1)), (512, 1, (5, 5), (1, 1), (1, 1))]
    assert [hasattr(layer, "parametrizations") for layer in convolutions] == [True] * 4 + [False]
    assert [layer.bias is None for layer in convolutions] == [True] * 4 + [False]
    assert all(type(layer) is nn.LeakyReLU and layer.negative_slope == 0.2 for layer in critic[1::2])
    assert sum(parameter.numel() for parameter in critic.parameters()) == 4_318_401
    for layer in convolutions:
        weight = layer.parametrizations.weight.original if hasattr(layer, "parametrizations") else layer.weight
        assert weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not convolutions[-1].bias.any()
    assert critic(torch.rand(2, 3, 64, 96)).shape == (2, 1, 3, 7)


def test_the_largest_singular_values_are_one() -> None:
    torch.manual_seed(0)
    critic = spectral_patch_critic(4)
    for _ in range(40):
        critic(torch.rand(1, 3, 48, 48))
    for layer in list(critic[::2])[:-1]:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)
