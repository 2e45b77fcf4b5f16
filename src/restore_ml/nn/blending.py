"""A network's filling made to agree with the known pixels, before the task puts those back.

Small networks draw the structure of a hole better than its level and colour. Both ways here use what the network says
of the known pixels, where the truth is given. A run's setting `blend` chooses.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from restore_ml.nn.hole_filling import harmonic

BLENDS = ("none", "level", "poisson")
"""`none` (what papers do that say nothing), `level` (`to_known_level`), `poisson` (`poisson`)."""


def blended(kind: str, filled: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """`filled` (N x C x H x W, what a network says of the whole picture, known pixels included) blended by one of
    `BLENDS` with `image` (same shape) where `mask` (N x 1 x H x W) is 0; float32 in [0, 1]."""
    filled = filled.float()
    if kind == "none":
        return filled.clip(0, 1)
    return {"level": to_known_level, "poisson": poisson}[kind](filled, image, mask).clip(0, 1)


def to_known_level(filled: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """Each channel of each picture times a gain, plus an offset, by least squares over the known pixels.

    A gain below 0 becomes 0: then, as where the network's known part is flat, the hole has the mean of the known
    pixels around the network's mean. With no known pixel nothing changes.
    """
    known = (mask < 0.5).to(torch.float64)
    count = known.sum((2, 3), keepdim=True).clamp(min=1)
    said, given = filled.to(torch.float64), image.to(torch.float64)
    said_mean = (said * known).sum((2, 3), keepdim=True) / count
    given_mean = (given * known).sum((2, 3), keepdim=True) / count
    spread = ((said - said_mean) ** 2 * known).sum((2, 3), keepdim=True)
    together = ((said - said_mean) * (given - given_mean) * known).sum((2, 3), keepdim=True)
    gain = torch.where(spread > 1e-6 * count, together / spread.clamp(min=1e-12), 0).clamp(min=0)
    fitted = given_mean + gain * (said - said_mean)
    return torch.where(known.sum((2, 3), keepdim=True) > 0, fitted, said).float()


def poisson(filled: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """Poisson blending (Perez, Gangnet, Blake, SIGGRAPH 2003; the post-processing of Iizuka et al., SIGGRAPH 2017):
    inside the hole the network's gradients, on its rim the known values.

    That is the network's answer plus the harmonic continuation into the hole of what it lacks at the known pixels. A
    network that says the same everywhere is so turned into `diffusion_heat`. With no known pixel nothing changes.
    """
    results = []
    for said, given, hole in zip(filled.detach().cpu().double().numpy(), image.detach().cpu().double().numpy(),
                                 mask[:, 0].cpu().numpy() > 0.5, strict=True):
        lacking = np.where(hole, 0.0, given - said).transpose(1, 2, 0)
        if hole.any() and not hole.all():
            lacking = harmonic(lacking, hole)
        results.append(said + np.where(hole.all(), 0.0, lacking.transpose(2, 0, 1)))
    return torch.from_numpy(np.stack(results)).float().to(filled.device)
