"""VGG16 and AlexNet against plain stacks of layers, as torchvision numbers them."""

import pytest
import torch
from torch import nn

from restore_ml.base.errors import UserError
from restore_ml.nn import alexnet, vgg16
from restore_ml.nn.alexnet import AlexNet
from restore_ml.nn.vgg16 import VGG16

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def plain_vgg(network: VGG16) -> nn.Sequential:
    layers: list[nn.Module] = []
    for name, convolution in network.convolutions.items():
        layers += [nn.MaxPool2d(2, 2)] if name in ("2_1", "3_1", "4_1", "5_1") else []
        layers += [convolution, nn.ReLU()]
    return nn.Sequential(*layers)


def test_counts_are_those_of_the_papers() -> None:
    with torch.device("meta"):
        assert sum(value.numel() for value in VGG16().parameters()) == 14_714_688
        assert sum(value.numel() for value in AlexNet().parameters()) == 2_469_696


def test_vgg16_equals_a_plain_stack() -> None:
    torch.manual_seed(0)
    network, x = VGG16(), torch.rand(2, 3, 35, 32)
    plain = plain_vgg(network)
    assert [number for number, layer in enumerate(plain) if isinstance(layer, nn.Conv2d)] == [
        0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    with torch.inference_mode():
        maps = network(x)
        assert tuple(maps) == vgg16.TAPS and len(maps) == 13
        for tap, end in (("relu1_1", 2), ("relu1_2", 4), ("relu2_2", 9), ("relu3_3", 16), ("relu4_3", 23),
                         ("relu5_3", 30)):
            torch.testing.assert_close(maps[tap], plain[:end]((x - MEAN) / STD))
        torch.testing.assert_close(network(x, ["relu1_1"], normalise=False)["relu1_1"], plain[:2](x))
    assert vgg16.LAST_OF_BLOCKS == ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")


def test_vgg16_halves_as_it_is_told() -> None:
    torch.manual_seed(0)
    network, x = VGG16(), torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        maps = network(x, ["relu1_2", "relu2_1"], pool=lambda maps: maps[..., ::2, ::2])
        expected = torch.relu(network.convolutions["2_1"](maps["relu1_2"][..., ::2, ::2]))
    torch.testing.assert_close(maps["relu2_1"], expected)


def test_alexnet_equals_a_plain_stack() -> None:
    torch.manual_seed(0)
    network, x = AlexNet(), torch.rand(2, 3, 63, 70)
    one, two, three, four, five = network.convolutions.values()
    plain = nn.Sequential(one, nn.ReLU(), nn.MaxPool2d(3, 2), two, nn.ReLU(), nn.MaxPool2d(3, 2), three, nn.ReLU(),
                          four, nn.ReLU(), five, nn.ReLU())
    with torch.inference_mode():
        maps = network(x)
        for tap, end in (("relu1", 2), ("relu2", 5), ("relu3", 8), ("relu4", 10), ("relu5", 12)):
            torch.testing.assert_close(maps[tap], plain[:end]((x - MEAN) / STD))
    assert tuple(maps) == alexnet.TAPS
    assert [tuple(value.shape[1:]) for value in maps.values()] == [
        (64, 15, 16), (192, 7, 7), (384, 3, 3), (256, 3, 3), (256, 3, 3)]


@pytest.mark.parametrize(("network", "taps", "used"), [
    (VGG16, ["relu2_1", "relu1_1"], 3), (AlexNet, ["relu2"], 2), (VGG16, [], 0)])
def test_nothing_behind_the_last_tap_is_computed(network: type[nn.Module], taps: list[str], used: int) -> None:
    built, calls = network(), []
    for layer in built.convolutions.values():  # type: ignore[union-attr, operator]
        layer.register_forward_hook(lambda *_: calls.append(1))
    assert set(built(torch.rand(1, 3, 32, 32), taps)) == set(taps)
    assert len(calls) == used


@pytest.mark.parametrize("network", [VGG16, AlexNet])
def test_unknown_tap_is_refused(network: type[nn.Module]) -> None:
    with pytest.raises(UserError, match="no tap 'relu9_9'; there are relu1"):
        network()(torch.rand(1, 3, 32, 32), ["relu9_9"])


@pytest.mark.usefixtures("published_weights")
def test_published_networks_are_frozen() -> None:
    for network in (vgg16.load_vgg16(), alexnet.load_alexnet()):
        assert not network.training and not any(value.requires_grad for value in network.parameters())
