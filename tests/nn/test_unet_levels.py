"""What follows the levels of the U-Net: at which, of how many channels, and that skips hand it across."""

import torch
from torch import nn

from restore_ml.nn.unet import UNet
from restore_ml.nn.unet_levels import follow_levels, levels_of


class Times(nn.Module):
    """Multiplies, and notes what it was shown."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor, self.shapes = factor, []  # type: ignore[var-annotated]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(x.shape[1:]))
        return self.factor * x


def followed(levels: list[int], factor: float = 1.0) -> tuple[UNet, list[tuple[int, bool, Times]]]:
    torch.manual_seed(0)
    network, made = UNet(1, 2, 4, 4, dropout=False), []

    def make(channels: int, upward: bool) -> nn.Module:
        made.append((channels, upward, Times(factor)))
        return made[-1][2]

    follow_levels(network, levels, make)
    return network, made


def test_each_level_and_the_upward_block_of_its_size_are_followed() -> None:
    network, made = followed([0, 1, 3])
    network(torch.zeros(1, 1, 32, 32))
    assert [(channels, upward, block.shapes) for channels, upward, block in made] == [
        (4, False, [(4, 16, 16)]), (4, True, [(4, 16, 16)]),
        (8, False, [(8, 8, 8)]), (8, True, [(8, 8, 8)]), (32, False, [(32, 2, 2)])]


def test_skip_and_next_level_get_what_follows() -> None:
    """By hand: the maps of level 1 are doubled for level 2 and for the skip, those of its upward block too."""
    network, _ = followed([1], 2.0)
    plain, _ = followed([])
    plain.load_state_dict(network.state_dict())
    for one in (network, plain):
        one.train()
    x = torch.randn(2, 1, 32, 32)
    first = plain.down[0](x)
    second = 2 * plain.down[1](first)
    third = plain.down[2](second)
    up = plain.up[0](plain.down[3](third))
    up = 2 * plain.up[1](torch.cat([third, up], 1))
    up = plain.up[2](torch.cat([second, up], 1))
    expected = plain.up[3](torch.cat([first, up], 1))
    torch.testing.assert_close(network(x), expected)
    assert not torch.allclose(expected, plain(x))


def test_levels_by_their_maps() -> None:
    assert levels_of(256, 8, 8) == [0, 1, 2, 3, 4] and levels_of(64, 6, 8) == [0, 1, 2]
    assert levels_of(64, 2, 8) == [0, 1] and levels_of(64, 6, 64) == []
