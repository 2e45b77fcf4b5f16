"""CycleGAN's generator: the card's counts, its layers and its range."""

import pytest
import torch

from restore_ml.nn.resnet import ResNetGenerator


@pytest.mark.parametrize(("blocks", "parameters"), [(9, 11_378_179), (6, 7_837_699)])
def test_parameters_of_the_card(blocks: int, parameters: int) -> None:
    with torch.device("meta"):
        network = ResNetGenerator(3, 3, blocks=blocks)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_the_small_one_of_the_card_and_its_layers() -> None:
    network = ResNetGenerator(3, 1, width=16, blocks=3)
    assert sum(parameter.numel() for parameter in network.parameters()) == 270_945
    kinds = [type(layer).__name__ for layer in network.body]
    assert kinds == ["ReflectionPad2d", "Conv2d", "InstanceNorm2d", "ReLU", *["Conv2d", "InstanceNorm2d", "ReLU"] * 2,
                     *["ResidualBlock"] * 3, *["ConvTranspose2d", "InstanceNorm2d", "ReLU"] * 2,
                     "ReflectionPad2d", "Conv2d", "Tanh"]
    assert not any(module.affine for module in network.modules() if isinstance(module, torch.nn.InstanceNorm2d))
    weights = torch.cat([module.weight.flatten() for module in network.modules()
                         if isinstance(module, torch.nn.Conv2d)])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize("size", [(8, 8), (12, 20)])
def test_sizes_and_range(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = ResNetGenerator(2, 3, width=4, blocks=1)
    made = network(torch.rand(2, 2, *size))
    assert made.shape == (2, 3, *size) and made.abs().max() <= 1
