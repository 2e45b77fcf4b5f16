"""A mixture of Gaussians over a latent code, told by a network from the features of a grey picture.

Source: Deshpande et al., "Learning Diverse Image Colorization", CVPR 2017, and the authors' released code; method card
`div_vae_mdn`. The features are those of conv7_3 of `colorful_colorization`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.base.errors import UserError

SIGMA = 0.1
"""Divides the squared distances, as in the release: the variance of every component."""


class Mixture(NamedTuple):
    """`means`: N x K x latent; `logits`: N x K, of the components' weights."""

    means: Tensor
    logits: Tensor


class MixtureNet(nn.Module):
    """Features, N x `channels` x `grid` x `grid` -> `Mixture` of `components` over `latent` numbers.

    Five 5 x 5 convolutions without bias (ReLU, then normalisation), the fourth of stride 2; a hidden layer of
    `hidden` (tanh); dropout of 0.25 before it and after it. `widths` are the paper's (384, 320, 288, 256, 128).
    """

    def __init__(self, channels: int = 512, grid: int = 28, widths: tuple[int, ...] = (384, 320, 288, 256, 128),
                 hidden: int = 4096, latent: int = 64, components: int = 8, momentum: float = 0.01) -> None:
        """`momentum`: of the running statistics."""
        super().__init__()
        self.latent, self.components = latent, components
        layers: list[nn.Module] = []
        for place, (before, after) in enumerate(zip((channels, *widths), widths, strict=False)):
            layers += [nn.Conv2d(before, after, 5, 2 if place == 3 else 1, 2, bias=False), nn.ReLU(),
                       nn.BatchNorm2d(after, 1e-4, momentum)]
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.Linear(widths[-1] * ((grid + 1) // 2) ** 2, hidden)
        self.head = nn.Linear(hidden, (latent + 1) * components)

    def forward(self, features: Tensor) -> Mixture:
        """The mixture of each picture."""
        x = F.dropout(self.convolutions(features).flatten(1), 0.25, self.training)
        x = F.dropout(self.hidden(x).tanh(), 0.25, self.training)
        means, logits = self.head(x).float().split([self.latent * self.components, self.components], 1)
        return Mixture(means.view(-1, self.components, self.latent), logits)


def mixture_loss(mixture: Mixture, z: Tensor) -> Tensor:
    """Mean over pictures of |z - m|^2 / (2 SIGMA) - log w of the component with the nearest mean m, alone.

    z: N x latent. The other components' means get no gradient; their weights get that of the softmax.
    """
    distances = (z[:, None] - mixture.means).square().sum(2) / (2 * SIGMA)
    nearest, place = distances.min(1)
    chosen = mixture.logits.log_softmax(1).gather(1, place[:, None])[:, 0]
    return (nearest - chosen).mean()


def likely_mean(mixture: Mixture, number: int) -> Tensor:
    """The mean of the component that is the `number`-th most likely of each picture (0: the most likely), N x latent;
    the first of equals comes first."""
    order = mixture.logits.argsort(dim=1, descending=True, stable=True)
    return mixture.means[torch.arange(len(order), device=order.device), order[:, number]]


def drawn_from(mixture: Mixture, seed: int) -> Tensor:
    """z of a component drawn by its weight: N x latent. The numbers behind the draw are those of `seed` alone, so that
    a picture gets the same z whatever stands beside it."""
    draws = torch.Generator().manual_seed(seed)
    share, noise = torch.rand(1, generator=draws), torch.randn(mixture.means.shape[2], generator=draws)
    sums = mixture.logits.softmax(1).cumsum(1)
    place = (sums < share.to(sums.device) * sums[:, -1:]).sum(1).clamp(max=sums.shape[1] - 1)
    means = mixture.means[torch.arange(len(place), device=place.device), place]
    return means + SIGMA ** 0.5 * noise.to(means.device)


def conv7_3(trunk: nn.Sequential, lightness: Tensor, channels: int) -> Tensor:
    """The map of conv7_3 (behind its ReLU) of the trunk of a `colorful_colorization` network: N x C x H/8 x W/8.

    Without gradients. `UserError` where it has another number of channels than `channels`.
    """
    place = max(number for number, layer in enumerate(trunk) if isinstance(layer, nn.BatchNorm2d))
    with torch.no_grad():
        features = trunk[:place]((lightness - 50) / 100).float()
    if features.shape[1] != channels:
        raise UserError(f"The run in the slot parts gives {features.shape[1]} features and feature_channels asks for "
                        f"{channels}; write 8 times the width of that run.")
    return features
