"""The local hints network of Zhang et al.: a U-Net from lightness, hints and where they are to colours and classes.

Source: Zhang, Zhu, Isola, Geng, Lin, Yu, Efros, SIGGRAPH 2017, and the authors' code; the method cards `user_hints` and
`inst_color`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from restore_ml.nn.initialisation import he

AB_SCALE, CELL, NODES = 110.0, 10, 23
"""ab are divided by this; classes are the NODES x NODES points of a grid of step CELL from -110 to 110."""
REGRESSION = 10.0
"""The weight of the regression, as in the code."""
FIRST = 0.1
"""The share of He's first weights in the two last layers."""
FIRST_HINTS = 5.0
"""Times He's first weights of a and b of the hints, whose values are a tenth of those of lightness."""
POINTS: dict[str, tuple[int, int]] = {
    "conv1_2": (1, 1), "conv2_2": (2, 2), "conv3_3": (4, 4), "conv4_3": (8, 8), "conv5_3": (8, 8), "conv6_3": (8, 8),
    "conv7_3": (8, 8), "conv8_up": (4, 4), "conv8_3": (4, 4), "conv9_up": (2, 2), "conv9_3": (2, 2),
    "conv10_up": (2, 1), "conv10_2": (2, 1)}
"""Where features can be looked at or changed: channels (times the width), and by what the sides are divided. `convN_M`
is what a block gives, `convN_up` the sum of enlarged features and shortcut before the block's first ReLU."""


def _unchanged(name: str, features: Tensor) -> Tensor:
    return features


class HintsNet(nn.Module):
    """lightness, hint, hinted (N x 1, 2 and 1 x H x W as in the task, H and W multiples of 8) -> ab / 110 in (-1, 1)
    (N x 2 x H x W) and the logits of 529 classes (N x 529 x H/4 x W/4).

    A U-Net: conv1 to conv7 as in Colorful Image Colorization, but every other pixel of a block's output goes on in
    place of strides; conv8 to conv10 enlarge and add what conv3 to conv1 saw. `width` is the paper's 64.
    reading: He's first weights, a tenth of them in the two last layers and five times them where the hints' a and b
    come in (the code starts from its classification network, and that from scratch). Whole ones begin in the flat ends
    of tanh and hardly see hints beside lightness; with torch's own hints are learned more slowly.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        w = width
        self.conv1, self.conv2 = _block(4, w, 2), _block(w, 2 * w, 2)
        self.conv3, self.conv4 = _block(2 * w, 4 * w, 3), _block(4 * w, 8 * w, 3)
        self.conv5, self.conv6 = _block(8 * w, 8 * w, 3, 2), _block(8 * w, 8 * w, 3, 2)
        self.conv7 = _block(8 * w, 8 * w, 3)
        self.up8, self.short8 = nn.ConvTranspose2d(8 * w, 4 * w, 4, 2, 1), nn.Conv2d(4 * w, 4 * w, 3, padding=1)
        self.conv8 = nn.Sequential(nn.ReLU(), *_block(4 * w, 4 * w, 2))
        self.up9, self.short9 = nn.ConvTranspose2d(4 * w, 2 * w, 4, 2, 1), nn.Conv2d(2 * w, 2 * w, 3, padding=1)
        self.conv9 = nn.Sequential(nn.ReLU(), *_block(2 * w, 2 * w, 1))
        self.up10, self.short10 = nn.ConvTranspose2d(2 * w, 2 * w, 4, 2, 1), nn.Conv2d(w, 2 * w, 3, padding=1)
        self.conv10 = nn.Sequential(nn.ReLU(), nn.Conv2d(2 * w, 2 * w, 3, padding=1), nn.LeakyReLU(0.2))
        self.colours = nn.Conv2d(2 * w, 2, 1)
        self.classes = nn.Conv2d(4 * w, NODES**2, 1)
        he(self)
        first = self.conv1[0]
        assert isinstance(first, nn.Conv2d)
        with torch.no_grad():
            first.weight[:, 1:3] *= FIRST_HINTS
            for last in (self.colours, self.classes):
                last.weight *= FIRST

    def forward(self, lightness: Tensor, hint: Tensor, hinted: Tensor, classify: bool = False,
                at: Callable[[str, Tensor], Tensor] = _unchanged) -> tuple[Tensor, Tensor]:
        """With `classify` the classes train the trunk and conv9 to the colours see it detached; without it the classes
        see it detached. `at(name, features)` is called at each of `POINTS`, in their order; what it gives goes on."""
        seen = torch.cat([(lightness - 50) / 100, hint * hinted / AB_SCALE, hinted - 0.5], 1)
        one = at("conv1_2", self.conv1(seen))
        two = at("conv2_2", self.conv2(one[..., ::2, ::2]))
        three = at("conv3_3", self.conv3(two[..., ::2, ::2]))
        four = at("conv4_3", self.conv4(three[..., ::2, ::2]))
        deep = at("conv7_3", self.conv7(at("conv6_3", self.conv6(at("conv5_3", self.conv5(four))))))
        eight = at("conv8_3", self.conv8(at("conv8_up", self.up8(deep) + self.short8(three))))
        classes = self.classes(eight if classify else eight.detach())
        if classify:
            one, two, eight = one.detach(), two.detach(), eight.detach()
        nine = at("conv9_3", self.conv9(at("conv9_up", self.up9(eight) + self.short9(two))))
        ten = at("conv10_2", self.conv10(at("conv10_up", self.up10(nine) + self.short10(one))))
        return torch.tanh(self.colours(ten)), classes


def _block(before: int, after: int, count: int, dilation: int = 1) -> nn.Sequential:
    """`count` 3 x 3 convolutions with ReLU, then batch normalisation."""
    layers: list[nn.Module] = []
    for number in range(count):
        layers += [nn.Conv2d(after if number else before, after, 3, 1, dilation, dilation), nn.ReLU()]
    return nn.Sequential(*layers, nn.BatchNorm2d(after))
