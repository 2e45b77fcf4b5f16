"""Dense DAISY descriptors of whole batches."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from restore_ml.nn.bilateral import pad_symmetric


def daisy(grey: Tensor, radius: int = 15, histograms: int = 3, orientations: int = 8) -> Tensor:
    """DAISY with one ring at every pixel: N x 1 x H x W -> N x ((histograms + 1) orientations) x H x W, sum 1 a pixel.

    The picture is mirrored by `radius` about its edge, so that the descriptor exists at its border; orientation
    histograms of the gradient, a Gaussian of sigma radius / 2, sampled at the pixel and on the ring. Tola, Lepetit,
    Fua, PAMI 2010; the values are those of `skimage.feature.daisy(step=1, rings=1)` on that picture.
    float32, also under autocast; without gradients.
    """
    with torch.no_grad(), torch.autocast(grey.device.type, enabled=False):
        picture = pad_symmetric(grey.float(), radius)
        height, width = grey.shape[-2:]
        dx, dy = F.pad(picture.diff(dim=-1), (0, 1)), F.pad(picture.diff(dim=-2), (0, 0, 0, 1))
        magnitude, direction = torch.hypot(dx, dy), torch.atan2(dy, dx)
        angles = torch.arange(orientations, device=grey.device) * (2 * math.pi / orientations) - math.pi
        spread = torch.cos(direction - angles[:, None, None]) * (orientations / math.pi)
        layers = _blur(torch.exp(spread) * magnitude, radius / 2)
        shifts = [(radius, radius)]
        for number in range(histograms):
            theta = 2 * math.pi * number / histograms
            shifts.append((radius + round(radius * math.sin(theta)), radius + round(radius * math.cos(theta))))
        parts = [layers[..., y : y + height, x : x + width] for y, x in shifts]
        descriptor = torch.cat(parts, 1) + 1e-10
        return descriptor / descriptor.sum(1, keepdim=True)


def _blur(maps: Tensor, sigma: float) -> Tensor:
    """A Gaussian cut at 4 sigma, border mirrored about its edge, as scipy.ndimage.gaussian_filter.

    As two products with banded matrices: with so many taps quicker than convolutions of single planes.
    """
    down, right = (_gaussian_matrix(length, sigma).to(maps.device) for length in maps.shape[-2:])
    return down @ maps @ right.T


def _gaussian_matrix(length: int, sigma: float) -> Tensor:
    """`length` x `length`: what each place takes from each, mirrored ones included."""
    reach = int(4 * sigma + 0.5)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    sources = torch.from_numpy(np.pad(np.arange(length), reach, mode="symmetric")).unfold(0, len(taps), 1)
    places = torch.arange(length)[:, None].expand_as(sources)
    return torch.zeros(length, length).index_put_((places, sources), (taps / taps.sum()).expand(sources.shape),
                                                  accumulate=True)
