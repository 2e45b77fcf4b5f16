"""The discriminator of PEN-Net: a score for each overlapping patch of a picture, with spectral normalisation."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from restore_ml.nn.initialisation import normal


def spectral_patch_critic(width: int = 64) -> nn.Sequential:
    """N x 3 x H x W -> N x 1 x h x w scores; H and W at least 53.

    5 x 5 convolutions, padding 1: three of stride 2 (width, 2 width, 4 width) and one of stride 1 (8 width) without
    bias, spectrally normalised, LeakyReLU 0.2 behind each; then the score, 5 x 5 with a bias, not normalised.
    Source: Zeng et al., CVPR 2019, and the layers of their code. 4,318,401 parameters for width 64.
    """
    layers: list[nn.Module] = []
    for before, after, stride in ((3, width, 2), (width, 2 * width, 2), (2 * width, 4 * width, 2),
                                  (4 * width, 8 * width, 1)):
        layers += [nn.Conv2d(before, after, 5, stride, 1, bias=False), nn.LeakyReLU(0.2)]
    critic = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 5, 1, 1))
    normal(critic)
    for layer in list(critic)[:-1:2]:
        spectral_norm(layer)
    return critic
