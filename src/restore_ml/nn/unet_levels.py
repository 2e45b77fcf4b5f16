"""Layers behind the levels of pix2pix's U-Net, by which its successors differ from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn

from restore_ml.nn.unet import UNet


def follow_levels(network: UNet, levels: Iterable[int], make: Callable[[int, bool], nn.Module]) -> None:
    """Append `make(channels, upward)` to levels of the U-Net (0: the largest maps), and to those upward blocks that
    give maps of the same size and channels; the deepest level has none. What follows a level is part of what its skip
    hands across."""
    for level in levels:
        down = network.down[level]
        channels = down[1].out_channels  # type: ignore[index]
        down.append(make(channels, False))  # type: ignore[operator]
        if level < network.levels - 1:
            network.up[network.levels - 2 - level].append(make(channels, True))  # type: ignore[operator]


def levels_of(side: int, levels: int, smallest: int) -> list[int]:
    """The levels whose maps have at least `smallest` pixels a side for pictures of `side`."""
    return [level for level in range(levels) if side // 2 ** (level + 1) >= smallest]
