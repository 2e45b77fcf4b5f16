"""LPIPS (Zhang et al., CVPR 2018), version 0.1, with the published weights: how unlike two pictures look.

Lower is better, 0 for equal pictures; about 0.05 is hard to see, 0.5 another picture. The features of AlexNet or VGG16
are scaled to unit length over channels at each place, subtracted, squared, weighted by channel and averaged over
places; the five layers are summed. So it is a squared distance of two long vectors, of which the truth's is worked out
once (`features`). Not a metric of the pixels: two pictures with other noise may be near, two shifted by a pixel not 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from restore_ml.metrics.fidelity import Array, same_shape
from restore_ml.metrics.perceptual import Features, tensor, unit

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 32
"""Pixels a side that a picture must have, so that the last layers still have a place."""


@dataclass(frozen=True)
class Lpips:
    """A network, and by the names of its maps the weights of their channels ((C,) tensors, none negative)."""

    network: Features
    heads: Mapping[str, Tensor]

    def features(self, picture: Array) -> dict[str, Tensor]:
        """What `distance` compares, of a uint8 H x W x 3 picture; `ValueError` for one below 32 x 32 pixels."""
        import torch

        large_enough(picture)
        with torch.inference_mode():
            return self.scaled(self.network(tensor(picture)))

    def scaled(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Maps (N x C x H x W) of unit length, times the root of their channels' weights.

        All are laid out alike, so that they are summed in the same order whether they were kept or not.
        """
        return {name: (unit(maps[name]) * weights.sqrt().view(1, -1, 1, 1)).contiguous()
                for name, weights in self.heads.items()}

    def distance(self, a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
        """LPIPS of the pictures with these features; `ValueError` where they are of two sizes."""
        return float(self.distances(a, b)[0])

    def distances(self, a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> Tensor:
        """The same for several pictures at once, (N,)."""
        first = next(iter(self.heads))
        same_shape(a[first], b[first])  # type: ignore[arg-type]
        layers = [(a[name] - b[name]).square().sum(1).mean((1, 2)) for name in self.heads]
        return sum(layers[1:], layers[0])

    def __call__(self, a: Array, b: Array) -> float:
        """LPIPS of two uint8 H x W x 3 pictures of one size."""
        same_shape(a, b)
        return self.distance(self.features(a), self.features(b))


def large_enough(picture: Array) -> None:
    """Raise `ValueError` for a picture with a side below `LEAST`."""
    if min(picture.shape[:2]) < LEAST:
        raise ValueError(f"LPIPS and DISTS need sides of at least {LEAST} pixels, not {picture.shape[:2]}.")


def load_lpips(trunk: str) -> Lpips:
    """LPIPS with `alex` or `vgg`, from the shelf; see `restore_ml.nn.foreign_weights.load` for errors.

    reading: LPIPS takes [-1, 1] and scales by constants of its own, which are ImageNet's mean and deviation of [0, 1].
    """
    from restore_ml.nn import alexnet, foreign_weights, vgg16

    if trunk == "alex":
        return Lpips(alexnet.load_alexnet(), foreign_weights.load("lpips_alex"))
    return Lpips(partial(vgg16.load_vgg16(), taps=vgg16.LAST_OF_BLOCKS), foreign_weights.load("lpips_vgg"))
