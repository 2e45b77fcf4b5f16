"""Distances on the features of a network, named by the network so that nobody takes them for LPIPS or FID.

The names `lpips` and `dists` are kept for the published weights (`restore_ml.metrics.lpips`, `dists`), and `fid` for
Inception's, which this project does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Array = np.ndarray
Features = Callable[["Tensor"], "Mapping[str, Tensor]"]
"""N x 3 x H x W float32 in [0, 1] -> feature maps by name (normalisation of the input is the network's affair)."""


DISTANCE = "feat_dist@"
"""How the names of feature distances start: they name their network, and are neither LPIPS nor comparable with it."""

PUBLISHED = ("lpips_alex", "lpips_vgg", "dists")
"""Columns of distances with published weights, in the order of a table."""
PAIRS = "lpips_pairs"
"""The column of `lpips_alex` between the results that a method draws of one picture: its mean over their pairs."""

LPIPS_TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
"""The maps of VGG that LPIPS compares; hand `functools.partial(network, taps=LPIPS_TAPS)` to a distance."""


def distance_name(source: str) -> str:
    """The column's name for a network that calls itself `minivgg-1a2b3c4d`: `feat_dist@minivgg-1a2b3c4d`."""
    return f"{DISTANCE}{source}"


def frechet_name(source: str) -> str:
    """The column's name for that network: `fid_minivgg_1a2b3c4d`. Not the standard FID."""
    return f"fid_{source.replace('-', '_')}"


def lpips_uniform(features: Features, a: Tensor, b: Tensor) -> Tensor:
    """Feature distance in LPIPS's form (Zhang et al. 2018) with uniform weights 1/C: (N,) tensor, 0 for equal pictures.

    Per map: channels normalised to unit length (eps 1e-10), squared difference, mean over channels and places; summed
    over the maps.
    """
    import torch

    total = torch.zeros(len(a), dtype=a.dtype, device=a.device)
    maps_a, maps_b = features(a), features(b)
    for name, map_a in maps_a.items():
        total = total + (unit(map_a) - unit(maps_b[name])).square().mean(dim=(1, 2, 3)).to(total.dtype)
    return total


def unit(maps: Tensor) -> Tensor:
    """N x C x H x W maps with the channels of each place scaled to unit length (eps 1e-10)."""
    return maps / (maps.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def feature_distance(features: Features, a: Array, b: Array) -> float:
    """`lpips_uniform` of two uint8 H x W x 3 pictures."""
    import torch

    with torch.inference_mode():
        return float(lpips_uniform(features, tensor(a), tensor(b))[0])


def tensor(picture: Array) -> Tensor:
    """A uint8 H x W x 3 picture as networks take it: 1 x 3 x H x W float32 in [0, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)[None], dtype=np.float32) / 255)


def moments(samples: Array) -> tuple[Array, Array]:
    """Mean (D,) and covariance D x D (divided by N - 1) of N x D samples; `ValueError` for fewer than two."""
    if len(samples) < 2:
        raise ValueError("A covariance needs at least two samples.")
    return samples.mean(axis=0, dtype=np.float64), np.atleast_2d(np.cov(samples.astype(np.float64), rowvar=False))


def frechet_distance(mean_a: Array, cov_a: Array, mean_b: Array, cov_b: Array) -> float:
    """Frechet distance of two Gaussians (Heusel et al. 2017): |ma - mb|^2 + Tr(Sa + Sb - 2 (Sa Sb)^(1/2)).

    The trace of the root is that of (Sa^(1/2) Sb Sa^(1/2))^(1/2), by symmetric eigenvalues clipped at 0: never complex.
    """
    values, vectors = np.linalg.eigh(np.atleast_2d(np.asarray(cov_a, np.float64)))
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    inner = root @ np.atleast_2d(cov_b) @ root
    trace = np.sqrt(np.clip(np.linalg.eigvalsh((inner + inner.T) / 2), 0, None)).sum()
    difference = np.atleast_1d(mean_a) - np.atleast_1d(mean_b)
    distance = difference @ difference + np.trace(np.atleast_2d(cov_a)) + np.trace(np.atleast_2d(cov_b)) - 2 * trace
    return float(max(distance, 0.0))


def kernel_distance(a: Array, b: Array) -> float:
    """KID (Binkowski et al. 2018): unbiased squared MMD of N x D and M x D samples, kernel (x.y / D + 1)^3."""
    if min(len(a), len(b)) < 2:
        raise ValueError("The unbiased kernel distance needs at least two samples on each side.")
    a, b = a.astype(np.float64), b.astype(np.float64)

    def kernel(x: Array, y: Array) -> Array:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x: Array) -> float:
        values = kernel(x, x)
        return float((values.sum() - np.trace(values)) / (len(x) * (len(x) - 1)))

    return within(a) + within(b) - 2 * float(kernel(a, b).mean())


def pooled(features: Features, pictures: Iterable[Array], name: str) -> Array:
    """The map `name` averaged over places for each uint8 H x W x 3 picture: N x C float32, for `moments`."""
    import torch

    rows = []
    with torch.inference_mode():
        for picture in pictures:
            rows.append(features(tensor(picture))[name].mean(dim=(2, 3))[0].numpy())
    return np.stack(rows)
