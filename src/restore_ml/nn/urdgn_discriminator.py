"""The discriminator of URDGN, which TDAE shares: four convolutions with maxima, two linear layers, dropout.

Source: Yu, Porikli, Ultra-resolving face images by discriminative generative networks, ECCV 2016; the layers were read
in the authors' released code.
"""

from __future__ import annotations

from torch import Tensor, nn


class Discriminator(nn.Module):
    """N x 3 x side x side in [-1, 1] to N x 1 logits (positive: a real face).

    `side`: a multiple of 16. `width`: channels of the first convolution; the others have 2, 4 and 3 times as many.
    Convolutions are 5 x 5. The first three are followed by the maximum of 2 x 2 and ReLU, the last one by ReLU and the
    maximum; a fifth of the maps is dropped out behind each, half of the `hidden` numbers before the last layer.
    """

    def __init__(self, side: int = 128, width: int = 32, hidden: int = 1024) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Conv2d(before, after, 5, padding=2), nn.MaxPool2d(2), nn.ReLU(), nn.Dropout2d(0.2)]
        layers += [nn.Conv2d(4 * width, 3 * width, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout2d(0.2)]
        self.net = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(3 * width * (side // 16) ** 2, hidden), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(hidden, 1))

    def forward(self, picture: Tensor) -> Tensor:
        """Logits."""
        return self.net(picture)
