"""The 313 quantised ab colours of Colorful Image Colorization: classes, soft encoding, rebalancing, annealed mean.

Source: Zhang, Isola, Efros, ECCV 2016, section 2; colorization method card 1.4. Arrays of classes follow one order:
by a, then by b.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from restore_ml.degradations.colour import rgb_to_lab

STEP = 10
"""Spacing of the grid of classes in ab units."""
LIMIT = 110
"""The grid spans [-LIMIT, LIMIT]; sRGB colours lie inside it."""


@lru_cache(maxsize=4)
def class_centres(half_width: float = 9.9) -> np.ndarray:
    """The centres of the classes, Q x 2 float32, ordered by (a, b); Q = 313 for the default.

    reading: the paper does not say how its 313 colours were found. A grid node is kept if the square of `half_width`
    around it meets the convex hull of the ab projection of sRGB, that is, if it is one of the nodes around some colour
    of the hull. This gives the published set exactly (card 1.4). The array is read-only.
    """
    from scipy.spatial import ConvexHull

    ramp = np.linspace(0.0, 1.0, 256)
    edges = []
    for axis in range(3):  # the edges of the RGB cube determine the hull of the projection
        for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
            edge = np.empty((ramp.size, 3))
            edge[:, axis] = ramp
            edge[:, [other for other in range(3) if other != axis]] = corner
            edges.append(edge)
    colours = rgb_to_lab(np.concatenate(edges))[:, 1:]
    outline = colours[ConvexHull(colours).vertices]
    corners = half_width * np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])
    hull = ConvexHull((outline[:, None] + corners).reshape(-1, 2))  # Minkowski sum of the hull and the square
    axis_nodes = np.arange(-LIMIT, LIMIT + STEP, STEP)
    nodes = np.stack(np.meshgrid(axis_nodes, axis_nodes, indexing="ij"), -1).reshape(-1, 2)
    inside = (nodes @ hull.equations[:, :2].T + hull.equations[:, 2] <= 0).all(1)
    centres = nodes[inside].astype(np.float32)
    centres.flags.writeable = False
    return centres


@lru_cache(maxsize=4)
def _candidates(neighbours: int) -> np.ndarray:
    """For each cell of STEP x STEP units of the grid, every class that can be among a colour's nearest `neighbours`.

    cells x cells x M class indices, ascending, padded with Q. A class is a candidate if its smallest distance to the
    cell is not above the `neighbours`-th smallest of the classes' largest distances to the cell, so none is missed.
    """
    centres = class_centres()
    low = np.arange(-LIMIT, LIMIT, STEP)
    cells = np.stack(np.meshgrid(low, low, indexing="ij"), -1).reshape(-1, 1, 2)
    below, above = cells - centres, centres - (cells + STEP)
    nearest = np.hypot(*np.moveaxis(np.maximum(np.maximum(below, above), 0), -1, 0))
    farthest = np.hypot(*np.moveaxis(np.maximum(np.abs(below), np.abs(above)), -1, 0))
    bound = np.sort(farthest, 1)[:, neighbours - 1 : neighbours]
    kept = [np.flatnonzero(row) for row in nearest <= bound + 1e-6]
    table = np.full((len(kept), max(map(len, kept))), len(centres))
    for index, classes in enumerate(kept):
        table[index, : len(classes)] = classes
    return table.reshape(len(low), len(low), -1)


def soft_encode(ab: Tensor, neighbours: int = 5, sigma: float = 5.0) -> tuple[Tensor, Tensor]:
    """The nearest classes of each colour and their weights, both N x K x H x W (int64, float32), nearest first.

    `ab`: N x 2 x H x W in Lab units; values beyond +-110 are clipped. Weights are exp(-d^2 / (2 sigma^2)), scaled to
    sum 1. Equal distances are ordered by class index. The paper takes K = 5 neighbours (its released code 10).
    """
    points = ab.float().clamp(-LIMIT, LIMIT).movedim(1, -1)
    cell = ((points + LIMIT) / STEP).long().clamp(0, 2 * LIMIT // STEP - 1)
    table = torch.from_numpy(_candidates(neighbours)).to(ab.device)
    far = torch.full((1, 2), 1e4, device=ab.device)
    centres = torch.cat([torch.tensor(class_centres(), device=ab.device), far])
    candidates = table[cell[..., 0], cell[..., 1]]
    squared = (centres[candidates] - points[..., None, :]).square().sum(-1)
    squared, order = squared.sort(dim=-1, stable=True)
    squared, order = squared[..., :neighbours], order[..., :neighbours]
    # Relative to the nearest, so that a colour far outside of all classes does not underflow to 0 / 0.
    weights = torch.exp((squared[..., :1] - squared) / (2 * sigma**2))
    return candidates.gather(-1, order).movedim(-1, 1), (weights / weights.sum(-1, keepdim=True)).movedim(-1, 1)


def nearest_class(ab: Tensor) -> Tensor:
    """The index of the nearest class of each colour: N x 2 x H x W -> N x H x W int64."""
    return soft_encode(ab, 1)[0][:, 0]


def classes_of_histogram(counts: np.ndarray) -> np.ndarray:
    """Nearest-class counts (Q float64) of a histogram of ab in unit bins centred on -110..110 (221 x 221).

    A bin's quarters are looked up apart: bins whose centre lies between two classes are shared between them.
    """
    axis = torch.arange(counts.shape[0]) - float(counts.shape[0] // 2)
    centres = torch.stack(torch.meshgrid(axis, axis, indexing="ij"))[None]
    total = np.zeros(len(class_centres()))
    for da in (-0.25, 0.25):
        for db in (-0.25, 0.25):
            classes = nearest_class(centres + torch.tensor([da, db]).view(1, 2, 1, 1)).numpy().ravel()
            total += np.bincount(classes, weights=counts.astype(np.float64).ravel() / 4, minlength=total.size)
    return total


def smoothed_prior(counts: np.ndarray, sigma: float = 5.0) -> np.ndarray:
    """Class frequencies (Q, sum 1, float64) from counts, smoothed by a Gaussian of `sigma` ab units."""
    centres = class_centres().astype(np.float64)
    squared = np.square(centres[:, None] - centres).sum(-1)
    smooth = np.exp(-squared / (2 * sigma**2)) @ (counts / counts.sum())
    return smooth / smooth.sum()


def rebalancing_weights(prior: np.ndarray, mix: float = 0.5) -> np.ndarray:
    """Weights ((1 - mix) p + mix / Q)^-1 of the classes, scaled to an expectation of 1 under `prior` (float64).

    Zhang et al., equation 4; `mix` is their lambda: 1 gives equal weights, 0 the inverse of the prior.
    """
    weights = 1 / ((1 - mix) * prior + mix / len(prior))
    return weights / (prior * weights).sum()


def annealed_mean(logits: Tensor, temperature: float = 0.38) -> Tensor:
    """Decode class logits N x Q x H x W to ab N x 2 x H x W: the mean of the centres under softmax(logits / T).

    Zhang et al., equation 5. T = 1 is the mean of the predicted distribution, T towards 0 its mode.
    """
    centres = torch.tensor(class_centres(), device=logits.device)
    return torch.einsum("nqhw,qc->nchw", (logits.float() / temperature).softmax(1), centres)
