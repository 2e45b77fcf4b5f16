"""A variational autoencoder of a picture's colours, told its grey: the parts and the loss.

Source: Deshpande, Lu, Yeh, Chong, Forsyth, "Learning Diverse Image Colorization", CVPR 2017, and the authors' released
code; method cards `div_vae_mdn` and `structure_crf_vae`. The networks have one size, 64 x 64 pixels (`SIDE`), to which
whole pictures are made smaller or larger (`at_side`).

reading: strided convolutions are centred on every second pixel and maps are enlarged by pixel centres (the release's
library pads on one side and enlarges from the corner); squares are made smaller with smoothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.nn.ab_classes import nearest_class, rebalancing_weights, smoothed_prior

SIDE = 64
"""Height and width of what the networks take and give."""
AB_SCALE = 128.0
"""ab are divided by this."""
LEAST_PRIOR = 1e-6
"""A class that is rarer counts as one pixel in a million: its inverse would be the only loss (reading)."""
Maps = tuple[Tensor, Tensor, Tensor, Tensor]
"""What is known of the grey picture: N x C x s x s for s = 32, 16, 8, 4."""


class ColourEncoder(nn.Module):
    """Scaled ab, N x 2 x 64 x 64 -> mean and logarithm of the variance of z, N x `latent` each.

    Four strided convolutions (ReLU, then normalisation), dropout of 0.3, one linear layer. `width` is the paper's 128.
    """

    def __init__(self, width: int = 128, latent: int = 64, momentum: float = 0.01) -> None:
        """`momentum`: of the running statistics."""
        super().__init__()
        sizes = (width, 2 * width, 4 * width, 8 * width)
        self.layers = _strided(2, sizes, momentum)
        self.head = nn.Linear(sizes[-1] * (SIDE // 16) ** 2, 2 * latent)

    def forward(self, ab: Tensor, dropped: bool = True) -> tuple[Tensor, Tensor]:
        """`dropped`: whether training drops features."""
        for layer in self.layers:
            ab = layer(ab)
        mean, log_variance = self.head(F.dropout(ab.flatten(1), 0.3, self.training and dropped)).float().chunk(2, 1)
        return mean, log_variance


class GreyEncoder(nn.Module):
    """Scaled lightness, N x 1 x 64 x 64 -> `Maps` of width, 2 width, 4 width and `latent` channels."""

    def __init__(self, width: int = 128, latent: int = 64, momentum: float = 0.01) -> None:
        """See `ColourEncoder`."""
        super().__init__()
        self.layers = _strided(1, (width, 2 * width, 4 * width, latent), momentum)

    def forward(self, grey: Tensor) -> Maps:
        """The maps of all four layers, the largest first."""
        maps = []
        for layer in self.layers:
            grey = layer(grey)
            maps.append(grey)
        return maps[0], maps[1], maps[2], maps[3]


class ColourDecoder(nn.Module):
    """z (N x `latent`) and the maps of the grey picture -> scaled ab in (-1, 1), N x 2 x 64 x 64.

    z is spread over 4 x 4 and multiplied by the smallest map; then in turn enlarged, joined to the next map, convolved.
    """

    def __init__(self, width: int = 128, latent: int = 64, momentum: float = 0.01) -> None:
        """See `ColourEncoder`."""
        super().__init__()
        w = width
        self.first = _layer(latent, 8 * w, 4, 1, momentum)
        self.layers = nn.ModuleList([_layer(8 * w + 4 * w, 4 * w, 5, 1, momentum),
                                     _layer(4 * w + 2 * w, 2 * w, 5, 1, momentum),
                                     _layer(2 * w + w, w, 5, 1, momentum)])
        self.last = nn.Sequential(nn.Conv2d(w, 2, 5, padding=2), nn.BatchNorm2d(2, 1e-4, momentum), nn.Tanh())

    def trunk(self, z: Tensor, maps: Maps) -> Tensor:
        """What the last layer enlarges: N x `width` x 32 x 32."""
        x = self.first(z[:, :, None, None] * maps[3])
        for layer, known in zip(self.layers, maps[2::-1], strict=True):
            x = layer(torch.cat([_enlarged(x), known], 1))
        return x

    def forward(self, z: Tensor, maps: Maps) -> Tensor:
        """The colours of that z on that grey picture."""
        return self.last(_enlarged(self.trunk(z, maps))).float()


def at_side(picture: Tensor, size: Sequence[int] = (SIDE, SIDE)) -> Tensor:
    """N x C x H x W at another height and width (that of the networks), smoothed where it becomes smaller."""
    if tuple(picture.shape[-2:]) == tuple(size):
        return picture
    return F.interpolate(picture, tuple(size), mode="bilinear", align_corners=False, antialias=True)


def scaled_lightness(lightness: Tensor) -> Tensor:
    """Lab lightness as the release has it: its 8 bits (2.55 L), less 128, over 128."""
    return (2.55 * lightness - 128) / 128


def drawn_z(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """z of that distribution, from noise of N(0, 1)."""
    return mean + noise * (log_variance / 2).exp()


def class_rarity(counts: np.ndarray, sigma: float = 5.0, mix: float = 0.0) -> np.ndarray:
    """1 / frequency of each of the 313 colour classes, from their counts in the training pictures: Q float32.

    `mix` joins the frequencies to equal ones first (0 is the release's); whatever it is, the mean over the pixels of
    the training pictures is Q.
    """
    prior = np.maximum(smoothed_prior(counts, sigma), LEAST_PRIOR)
    return (len(prior) * rebalancing_weights(prior / prior.sum(), mix)).astype(np.float32)


def colour_terms(made: Tensor, truth: Tensor, rarity: Tensor) -> dict[str, Tensor]:
    """What the decoder's picture is asked: `colour`, the mean over pictures of the root of its summed squared errors,
    each pixel weighted by the `rarity` of its true colour's class, and `edges`, 1/1000 of the same of the differences
    of neighbours (unweighted).

    `made`, `truth`: scaled ab, N x 2 x H x W; `rarity`: a number a class.
    """
    made, truth = made.float(), truth.float()
    weights = rarity[nearest_class(truth * AB_SCALE)][:, None]
    error = made - truth
    down = error[:, :, 1:, :-1] - error[:, :, :-1, :-1]
    across = error[:, :, :-1, 1:] - error[:, :, :-1, :-1]
    return {"colour": _root((weights * error.square()).sum((1, 2, 3))).mean(),
            "edges": 1e-3 * _root((down.square() + across.square()).sum((1, 2, 3))).mean()}


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of z's distribution from N(0, 1), summed over the batch, as in the release."""
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum()


def small_start(network: nn.Module) -> None:
    """The release's first weights: N(0, 0.001^2), biases 0.001; normalisation layers stay as they are."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.001)
            if module.bias is not None:
                nn.init.constant_(module.bias, 0.001)


def _strided(channels: int, sizes: tuple[int, int, int, int], momentum: float) -> nn.ModuleList:
    """Three convolutions of 5 x 5 and one of 4 x 4, each of stride 2."""
    before = (channels, *sizes)
    return nn.ModuleList([_layer(before[place], sizes[place], kernel, 2, momentum)
                          for place, kernel in enumerate((5, 5, 5, 4))])


def _layer(before: int, after: int, kernel: int, stride: int, momentum: float) -> nn.Sequential:
    """Convolution with bias, ReLU, normalisation."""
    uneven = [nn.ZeroPad2d((1, 2, 1, 2))] if stride == 1 and kernel % 2 == 0 else []
    padding = 0 if uneven else (kernel - 1) // 2
    return nn.Sequential(*uneven, nn.Conv2d(before, after, kernel, stride, padding), nn.ReLU(),
                         nn.BatchNorm2d(after, 1e-4, momentum))


def _enlarged(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _root(squared: Tensor) -> Tensor:
    """The square root, whose gradient at 0 stays finite."""
    return (squared + 1e-12).sqrt()
