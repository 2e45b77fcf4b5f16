"""The first stage's networks against the layers of the released code, and what they are shown."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from restore_ml.nn.rough_filling import add_biases, feature_judge, patch_judge, rough_network, shown


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_at_the_papers_size() -> None:
    with torch.device("meta"):
        assert count(rough_network(64, 8)) == 54_419_459
        assert count(patch_judge(64)) == 2_766_529
        assert count(feature_judge(256, 512)) == 10_487_296
        assert rough_network(64, 8)(torch.empty(1, 3, 256, 256)).shape == (1, 3, 256, 256)
        assert patch_judge(64)(torch.empty(1, 3, 256, 256)).shape == (1, 1, 30, 30)
        assert feature_judge(256, 512)(torch.empty(1, 256, 64, 64)).shape == (1, 512, 8, 8)


def test_every_convolution_has_a_bias_of_nothing() -> None:
    for network in (rough_network(2, 3), patch_judge(2)):
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
        assert layers and all(layer.bias is not None and not layer.bias.any() for layer in layers)
        assert {id(layer.bias) for layer in layers} <= {id(parameter) for parameter in network.parameters()}
    kept = nn.Conv2d(1, 2, 1)
    add_biases(kept)
    assert kept.bias is not None and kept.bias.any()


def test_the_rough_network_is_normalised_by_picture_bounded_and_without_chance() -> None:
    network = rough_network(4, 4)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.InstanceNorm2d)]
    assert len(norms) == 2 + 3 and all(layer.affine and not layer.track_running_stats for layer in norms)
    assert not any(isinstance(layer, nn.Dropout | nn.BatchNorm2d) for layer in network.modules())
    assert isinstance(network.up[-1][2], nn.Tanh)  # type: ignore[index]


def test_the_judge_of_patches_is_normalised_by_picture() -> None:
    norms = [layer for layer in patch_judge(4).modules() if isinstance(layer, nn.InstanceNorm2d | nn.BatchNorm2d)]
    assert [(type(layer), layer.affine, layer.num_features) for layer in norms] == [
        (nn.InstanceNorm2d, True, width) for width in (8, 16, 32)]


def test_the_feature_judge_is_the_released_one() -> None:
    torch.manual_seed(0)
    network = feature_judge(24, 32)
    assert [type(layer).__name__ for layer in network] == ["Conv2d", "LeakyReLU", "Conv2d", "InstanceNorm2d",
                                                           "LeakyReLU", "Conv2d"]
    assert [(layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0], layer.padding[0])
            for layer in network if isinstance(layer, nn.Conv2d)] == [(24, 32, 4, 2, 1), (32, 32, 4, 2, 1),
                                                                      (32, 32, 4, 2, 1)]
    assert not network[3].affine and network[1].negative_slope == network[4].negative_slope == 0.2  # type: ignore[union-attr]
    assert network[0].weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_a_hole_is_shown_in_its_colour() -> None:
    image, mask = torch.full((1, 3, 2, 2), 0.75), torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]])
    seen = shown(image, mask, [255, 0, 102])
    assert seen[0, :, 0, 1].tolist() == pytest.approx([1.0, -1.0, -0.2])
    assert seen[0, :, 0, 0].tolist() == seen[0, :, 1, 1].tolist() == [0.5, 0.5, 0.5]


def test_a_hole_is_shown_in_the_mean_of_what_is_known() -> None:
    image = torch.tensor([0.25, 0.9, 0.75, 0.5]).view(1, 1, 2, 2).repeat(2, 3, 1, 1)
    mask = torch.zeros(2, 1, 2, 2)
    mask[0, 0, 0, 1] = mask[1] = 1
    seen = shown(image, mask, [255, 0, 102], own_mean=True)
    assert seen[0, :, 0, 1].tolist() == pytest.approx([0.0] * 3)  # the mean of 0.25, 0.75 and 0.5, in [-1, 1]
    assert seen[0, 0].flatten()[[0, 2, 3]].tolist() == [-0.5, 0.5, 0.0]
    assert seen[1, :, 1, 0].tolist() == pytest.approx([1.0, -1.0, -0.2])  # nothing is known
