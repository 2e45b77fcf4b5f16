"""DISTS (Ding et al., TPAMI 2022) with the published weights: how unlike two pictures are in texture and structure.

Lower is better, 0 for equal pictures. Means (texture) and covariances (structure) of VGG16's maps, and of the pictures'
own channels, are compared as in SSIM, over the whole map; so a lawn may be replaced by another lawn, which PSNR and
LPIPS punish. VGG16 halves its maps by a windowed root mean square (`halved`) instead of a maximum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from restore_ml.metrics.fidelity import Array, same_shape
from restore_ml.metrics.lpips import large_enough
from restore_ml.metrics.perceptual import Features, tensor

if TYPE_CHECKING:
    from torch import Tensor

EPS = 1e-6
"""Keeps the ratios defined where both maps are flat or empty."""
MEAN, VARIANCE, REST = "mean", "variance", "rest"
"""What is compared of a map: the mean of each channel (C,), its variance (C,), the map less its mean (C x places)."""


@dataclass(frozen=True)
class Dists:
    """A network and the weights of texture and structure: a channel each, the picture's three first, then those of the
    network's maps in their order."""

    network: Features
    alpha: Tensor
    beta: Tensor

    def features(self, picture: Array) -> dict[str, Tensor]:
        """What `distance` compares, of a uint8 H x W x 3 picture; `ValueError` for one below 32 x 32 pixels."""
        import torch

        large_enough(picture)
        with torch.inference_mode():
            values = tensor(picture)
            return {f"{number}.{what}": value for number, maps in enumerate((values, *self.network(values).values()))
                    for what, value in _moments(maps[0]).items()}

    def distance(self, a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
        """DISTS of the pictures with these features; `ValueError` where they are of two sizes."""
        import torch

        same_shape(a[f"0.{REST}"], b[f"0.{REST}"])  # type: ignore[arg-type]
        texture, structure = (torch.cat(values) for values in zip(*(
            _similarities(a, b, number) for number in range(len(a) // 3)), strict=True))
        total = self.alpha.sum() + self.beta.sum()
        return max(float(1 - (self.alpha @ texture + self.beta @ structure) / total), 0.0)

    def __call__(self, a: Array, b: Array) -> float:
        """DISTS of two uint8 H x W x 3 pictures of one size."""
        same_shape(a, b)
        return self.distance(self.features(a), self.features(b))


def _moments(maps: Tensor) -> dict[str, Tensor]:
    flat = maps.flatten(1)
    mean = flat.mean(1)
    rest = flat - mean[:, None]
    return {MEAN: mean, VARIANCE: rest.square().mean(1), REST: rest}


def _similarities(a: Mapping[str, Tensor], b: Mapping[str, Tensor], number: int) -> tuple[Tensor, Tensor]:
    """Of the means and of what varies in the maps of that number, a channel each, at most 1."""
    one, other = ({what: maps[f"{number}.{what}"] for what in (MEAN, VARIANCE, REST)} for maps in (a, b))
    texture = (2 * one[MEAN] * other[MEAN] + EPS) / (one[MEAN].square() + other[MEAN].square() + EPS)
    covariance = (one[REST] * other[REST]).mean(1)
    return texture, (2 * covariance + EPS) / (one[VARIANCE] + other[VARIANCE] + EPS)


def halved(x: Tensor) -> Tensor:
    """The root of the squares' mean under a Hann window of 3 x 3, at every second place."""
    import torch
    import torch.nn.functional as F

    row = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
    window = torch.outer(row, row).expand(x.shape[1], 1, 3, 3)
    return (F.conv2d(x.square(), window, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()


def load_dists() -> Dists:
    """DISTS from the shelf; see `restore_ml.nn.foreign_weights.load` for errors."""
    from restore_ml.nn import foreign_weights, vgg16

    return Dists(partial(vgg16.load_vgg16(), taps=vgg16.LAST_OF_BLOCKS, pool=halved), **foreign_weights.load("dists"))
