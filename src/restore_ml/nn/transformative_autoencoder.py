"""The three networks of TDAE: a decoder that enlarges, cleans and turns a small face upright, an encoder that makes the
result small again, and a second decoder.

Source: Yu, Porikli, Hallucinating very low-resolution unaligned and noisy face images by transformative discriminative
autoencoders, CVPR 2017; the layers were read in the authors' released code.
"""

from __future__ import annotations

from torch import Tensor, nn

from restore_ml.nn.spatial_transformer import SpatialTransformer


def convolution(before: int, after: int, size: int) -> nn.Conv2d:
    """A convolution that keeps the size."""
    return nn.Conv2d(before, after, size, padding=size // 2)


def block(before: int, after: int, size: int) -> list[nn.Module]:
    """Convolution, batch norm, ReLU."""
    return [convolution(before, after, size), nn.BatchNorm2d(after), nn.ReLU()]


def transformer(channels: int, side: int, halve: bool = True) -> SpatialTransformer:
    """A spatial transformer whose localisation is two convolutions 5 x 5 without padding, a maximum of 2 x 2 between
    them and, for maps of 32 pixels (`halve`), one before them; maps of 16 pixels have none there.

    reading: for faces of 64 pixels, whose maps are half as large, the second convolution is padded, so that 2 x 2
    places are left here too.
    """
    first = [nn.MaxPool2d(2)] if halve else []
    padding = 0 if side >= (32 if halve else 16) else 2
    return SpatialTransformer(nn.Sequential(
        *first, nn.Conv2d(channels, 20, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 20, 5, padding=padding),
        nn.ReLU(), nn.Flatten(), nn.Linear(80, 20), nn.ReLU()), 20)


def large_transformer(channels: int, side: int) -> SpatialTransformer:
    """One for maps of 64 pixels, with three convolutions; of 32 pixels the last one is padded (reading)."""
    padding, left = (0, 9) if side >= 64 else (1, 1)
    return SpatialTransformer(nn.Sequential(
        nn.MaxPool2d(2), nn.Conv2d(channels, channels // 2, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(channels // 2, 20, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 20, 3, padding=padding), nn.ReLU(),
        nn.Flatten(), nn.Linear(20 * left, 20), nn.ReLU()), 20)


def doubled() -> nn.Module:
    """Twice as large by repeating pixels."""
    return nn.Upsample(scale_factor=2, mode="nearest")


class FirstDecoder(nn.Sequential):
    """N x 3 x side/8 x side/8 to N x 3 x side x side, both in [-1, 1]; not clipped.

    Three convolutions (the second with twice, the third with eight times `width` channels), and three times twice as
    large with a block of half the channels behind; spatial transformers stand behind the first two enlargements.
    """

    def __init__(self, side: int = 128, width: int = 64, stn: bool = True) -> None:
        moved = ([transformer(8 * width, side // 4)], [large_transformer(4 * width, side // 2)]) if stn else ([], [])
        super().__init__(
            convolution(3, width, 5), nn.ReLU(), convolution(width, 2 * width, 3), nn.ReLU(),
            *block(2 * width, 8 * width, 3), doubled(), *moved[0], *block(8 * width, 4 * width, 3), doubled(),
            *moved[1], *block(4 * width, 2 * width, 5), doubled(), *block(2 * width, width, 5),
            convolution(width, 3, 5))


class Encoder(nn.Sequential):
    """N x 3 x side x side to N x 3 x side/8 x side/8, both in [-1, 1]; not clipped.

    Blocks with `width`, 2, 4 and 8 times `width` channels and the maximum of 2 x 2 behind the first three; spatial
    transformers stand behind the third and the fourth block.
    """

    def __init__(self, side: int = 128, width: int = 32, stn: bool = True) -> None:
        moved: list[list[nn.Module]] = [[], []]
        if stn:
            moved = [[transformer(4 * width, side // 4)], [transformer(8 * width, side // 8, halve=False)]]
        super().__init__(
            *block(3, width, 5), nn.MaxPool2d(2), *block(width, 2 * width, 5), nn.MaxPool2d(2),
            *block(2 * width, 4 * width, 3), *moved[0], nn.MaxPool2d(2), *block(4 * width, 8 * width, 3), *moved[1],
            convolution(8 * width, 3, 3))


class SecondDecoder(nn.Sequential):
    """N x 3 x h x w to N x 3 x 8h x 8w, both in [-1, 1]; not clipped: blocks with 8, 4 and 2 times `width` channels,
    each with a twofold enlargement behind, one with `width`, and a convolution."""

    def __init__(self, width: int = 64) -> None:
        super().__init__(
            *block(3, 8 * width, 3), doubled(), *block(8 * width, 4 * width, 3), doubled(),
            *block(4 * width, 2 * width, 5), doubled(), *block(2 * width, width, 5), convolution(width, 3, 5))


def clipped(pictures: Tensor) -> Tensor:
    """Between two of the networks: values outside [-1, 1] are set to its ends (a hard tanh)."""
    return pictures.clamp(-1, 1)
