"""Generator and discriminator of AEUN: an autoencoder that is told attributes where it is narrowest, and a judge that
sees faces with them.

Source: Yu, Fernando, Hartley, Porikli, Super-resolving very low-resolution face images with supplementary attributes,
CVPR 2018; what it leaves open was read in the authors' released code.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from restore_ml.nn.spatial_transformer import SpatialTransformer

ATTRIBUTES = 18
"""So many of CelebA's forty are told."""
SCALE = 8


def block(layer: nn.Module, channels: int, leak: float = 0.0) -> nn.Sequential:
    """A layer, batch norm, and ReLU or, with a `leak`, leaky ReLU."""
    return nn.Sequential(layer, nn.BatchNorm2d(channels), nn.LeakyReLU(leak) if leak else nn.ReLU())


def localisation(channels: int, side: int) -> tuple[nn.Module, int]:
    """What looks where a face lies in maps of `side` x `side`, and how many numbers it gives.

    reading: the published layers for 32 and 64 pixels; at 16 pixels the last convolution is padded.
    """
    if side >= 64:
        layers: list[nn.Module] = [nn.MaxPool2d(2), nn.Conv2d(channels, channels // 2, 5), nn.ReLU(), nn.MaxPool2d(2),
                                   nn.Conv2d(channels // 2, 20, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 20, 3)]
        left = (((side // 2 - 4) // 2 - 4) // 2 - 2) ** 2
    else:
        padding = int(side < 32)
        layers = [nn.MaxPool2d(2), nn.Conv2d(channels, channels // 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                  nn.Conv2d(channels // 2, 20, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                  nn.Conv2d(20, 20, 3, padding=padding)]
        left = (side // 8 - 2 + 2 * padding) ** 2
    return nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(20 * left, 20), nn.ReLU()), 20


class Generator(nn.Module):
    """N x 3 x side/8 x side/8 and N x `attributes` to N x 3 x side x side; pictures in [-1, 1], not clipped.

    Encoder: convolutions 4 x 4 of stride 2 down to 2 x 2, each with four times the channels, then one of 2 x 2 to a
    single place, where the attributes are joined. Decoder: transposed convolutions back to the input's size, each
    stage joined with the encoder's maps of its size. Then three times twice as large by repeating pixels, the first two
    times through a spatial transformer, and a last convolution. `side` 128: three encoder stages; 64: one less.
    """

    def __init__(self, side: int = 128, width: int = 32, attributes: int = ATTRIBUTES, stn: bool = True) -> None:
        super().__init__()
        stages = int(math.log2(side // SCALE)) - 1
        widths = [width * 4 ** stage for stage in range(stages)]
        code = width * 4 ** stages
        self.encoder = nn.ModuleList([block(nn.Conv2d(before, after, 4, 2, 1), after, 0.2)
                                      for before, after in zip([3, *widths], widths, strict=False)])
        self.code = block(nn.Conv2d(widths[-1], code, 2), code, 0.2)
        decoded = [width * 8 * number for number in range(stages + 1, 0, -1)]
        first = block(nn.ConvTranspose2d(code + attributes, decoded[0], 2), decoded[0])
        self.decoder = nn.ModuleList([first, *(
            block(nn.ConvTranspose2d(before + skip, after, 4, 2, 1), after)
            for before, skip, after in zip(decoded[:-1], reversed(widths), decoded[1:], strict=True))])
        ups: list[nn.Module] = []
        for number, factor in enumerate((4, 2, 1)):
            channels, larger = 2 * factor * width, side // SCALE * 2 ** (number + 1)
            moved = [SpatialTransformer(*localisation(channels, larger))] if stn and number < 2 else []
            ups.append(nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), *moved,
                                     block(nn.Conv2d(channels, factor * width, 3, padding=1), factor * width)))
        self.ups = nn.Sequential(*ups)
        self.tail = nn.Conv2d(width, 3, 5, padding=2)

    def forward(self, lr: Tensor, attributes: Tensor) -> Tensor:
        """The face."""
        skips = [lr]
        for stage in self.encoder:
            skips.append(stage(skips[-1]))
        x = torch.cat([self.code(skips[-1]), attributes[:, :, None, None].to(lr.dtype)], 1)
        x = self.decoder[0](x)
        for stage, skip in zip(list(self.decoder)[1:], skips[:0:-1], strict=True):
            x = stage(torch.cat([x, skip], 1))
        return self.tail(self.ups(x))


class Discriminator(nn.Module):
    """N x 3 x side x side in [-1, 1] and N x `attributes` to N x 1 logits (positive: a real face with its attributes).

    Four times convolution, maximum of 2 x 2, ReLU; the attributes are joined as constant maps after the second. Maps
    (a fifth) and numbers (half) are dropped out behind the later ones.
    """

    def __init__(self, side: int = 128, width: int = 32, attributes: int = ATTRIBUTES, hidden: int = 1024) -> None:
        super().__init__()
        def layer(before: int, after: int, size: int) -> list[nn.Module]:
            return [nn.Conv2d(before, after, size, padding=size // 2), nn.MaxPool2d(2), nn.ReLU()]

        self.picture = nn.Sequential(*layer(3, width, 5), *layer(width, 2 * width, 5))
        self.both = nn.Sequential(
            *layer(2 * width + attributes, 4 * width, 5), nn.Dropout2d(0.2), *layer(4 * width, 8 * width, 3),
            nn.Dropout2d(0.2), nn.Flatten(), nn.Linear(8 * width * (side // 16) ** 2, hidden), nn.ReLU(),
            nn.Dropout(0.5), nn.Linear(hidden, 1))

    def forward(self, picture: Tensor, attributes: Tensor) -> Tensor:
        """Logits."""
        maps = self.picture(picture)
        told = attributes[:, :, None, None].to(maps.dtype).expand(-1, -1, *maps.shape[2:])
        return self.both(torch.cat([maps, told], 1))
