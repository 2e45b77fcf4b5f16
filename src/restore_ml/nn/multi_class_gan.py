"""Generator and discriminator of a GAN for several classes of pictures at once.

Source: Xu, Sun, Pan, Zhang, Pfister, Yang, Learning to super-resolve blurry face and text images, ICCV 2017. reading:
channels and kernels are those of the method card, whose text is from memory.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restore_ml.degradations.resize import imresize

SCALE = 8
"""reading: the paper enlarges four times, by two of the first layers; three of them make the eight of our faces."""


def _layer(convolution: nn.Module, width: int) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())


class Generator(nn.Module):
    """N x 3 x h x w in [-1, 1] to N x 3 x 8h x 8w in [-1, 1]; any size.

    Three transposed convolutions (4 x 4, stride 2), then `convolutions` of them at the full size, an even number, the
    first half 5 x 5 and the others 3 x 3, batch norm and ReLU after each; Conv 3 x 3 and tanh. `skips`: the input of
    each two convolutions is added to what they give. `residual`: tanh gives a difference from the interpolated picture,
    a small one at first (the sum is not clipped).
    """

    def __init__(self, width: int = 64, convolutions: int = 8, skips: bool = False, residual: bool = False) -> None:
        super().__init__()
        self.skips, self.residual = skips, residual
        self.up = nn.Sequential(*[_layer(nn.ConvTranspose2d(width if number else 3, width, 4, 2, 1), width)
                                  for number in range(3)])
        sizes = [5 if 2 * number < convolutions else 3 for number in range(convolutions)]
        layers = [_layer(nn.Conv2d(width, width, size, padding=size // 2), width) for size in sizes]
        self.body = nn.ModuleList(nn.Sequential(*layers[number:number + 2]) for number in range(0, convolutions, 2))
        self.tail = nn.Conv2d(width, 3, 3, padding=1)
        if residual:
            assert self.tail.bias is not None
            with torch.no_grad():
                self.tail.weight.mul_(0.01)
                self.tail.bias.zero_()

    def forward(self, lr: Tensor) -> Tensor:
        """The picture."""
        x = self.up(lr)
        for pair in self.body:
            x = x + pair(x) if self.skips else pair(x)
        made = self.tail(x).tanh()
        return imresize(lr, SCALE) + made if self.residual else made


class Discriminator(nn.Module):
    """N x 3 x side x side in [-1, 1] to N x `classes` scores, after VGG; `side` is a multiple of 16.

    Four times two convolutions of 3 x 3, the second of stride 2, with 1, 2, 4 and 8 times `width` channels, batch norm
    behind all but the first, leaky ReLU; a linear layer of `hidden`, leaky ReLU, and the classes.
    """

    def __init__(self, side: int = 128, width: int = 64, hidden: int = 1024, classes: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for factor in (1, 2, 4, 8):
            for stride in (1, 2):
                after = factor * width
                layers += [nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after) if layers else nn.Identity(),
                           nn.LeakyReLU(0.2)]
                before = after
        self.maps = nn.Sequential(*layers)
        self.classes = nn.Sequential(nn.Flatten(), nn.Linear(before * (side // 16) ** 2, hidden), nn.LeakyReLU(0.2),
                                     nn.Linear(hidden, classes))

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """The scores, and the last maps (N x 8 width x side/16 x side/16), by which pictures are matched."""
        maps = self.maps(picture)
        return self.classes(maps), maps
