"""The colours of a picture as one vector, and how far two such vectors are apart.

Source: Yoo et al., "Coloring with limited data: few-shot colorization via memory-augmented networks", CVPR 2019; the
method card `memopainter`. CIEDE2000: Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula", 2005.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from restore_ml.degradations.colour import rgb_to_lab
from restore_ml.nn.ab_classes import class_centres, soft_encode

NEIGHBOURS = 10
"""Classes that a pixel is shared between, as in the code."""
DOMINANT = 10
"""Colours of `dominant_colours`."""
TINY = 1e-8
"""Added to the second distribution of `kl`."""


def distribution(ab: Tensor) -> Tensor:
    """N x 2 x H x W to N x 313 with sum 1: the share of each ab class, softly encoded, over all pixels."""
    classes, weights = soft_encode(ab, NEIGHBOURS)
    counts = ab.new_zeros(len(ab), len(class_centres()))
    return counts.scatter_add_(1, classes.flatten(1), weights.flatten(1)) / (ab.shape[2] * ab.shape[3])


def dominant_colours(rgb: np.ndarray) -> np.ndarray:
    """H x W x 3 uint8 to 30 float32 in [0, 1]: R, G, B of the ten colours of a median cut, the most frequent first.

    reading: Pillow's median cut (the code: a palette of another program); a picture of fewer colours repeats them.
    """
    cut = Image.fromarray(rgb).quantize(DOMINANT, Image.Quantize.MEDIANCUT)
    counts = np.bincount(np.asarray(cut).ravel(), minlength=DOMINANT)[:DOMINANT]
    palette = np.array(cut.getpalette()).reshape(-1, 3)
    order = [index for index in np.argsort(-counts, kind="stable") if counts[index]]
    return np.resize(palette[order] / 255, (DOMINANT, 3)).astype(np.float32).ravel()


def kl(one: Tensor, other: Tensor) -> Tensor:
    """Divergence of distributions, ... x K to ..., with the logarithm to base 10: sum of p log(p / (q + 1e-8)).

    Where p is 0 nothing is added (the code has 0 log 0 there, which is no number, so that no slot that was ever written
    could be near).
    """
    return torch.xlogy(one, one / (other + TINY)).sum(-1) / math.log(10)


def palette_distance(one: Tensor, other: Tensor) -> Tensor:
    """Mean CIEDE2000 of the ten colours of vectors as `dominant_colours` makes them, ... x 30 to ...."""
    def lab(vector: Tensor) -> Tensor:
        return rgb_to_lab(vector.reshape(-1, DOMINANT, 3).permute(2, 0, 1)).movedim(0, -1)

    one, other = torch.broadcast_tensors(one, other)
    return ciede2000(lab(one), lab(other)).mean(1).reshape(one.shape[:-1])


def ciede2000(one: Tensor, other: Tensor) -> Tensor:
    """The difference of Lab colours, ... x 3 to ...."""
    (light_1, a_1, b_1), (light_2, a_2, b_2) = one.unbind(-1), other.unbind(-1)
    stretch = 1.5 - 0.5 * _seventh((torch.hypot(a_1, b_1) + torch.hypot(a_2, b_2)) / 2)
    a_1, a_2 = stretch * a_1, stretch * a_2
    chroma_1, chroma_2 = torch.hypot(a_1, b_1), torch.hypot(a_2, b_2)
    hue_1, hue_2 = (torch.atan2(b, a) % (2 * math.pi) for b, a in ((b_1, a_1), (b_2, a_2)))
    turn = hue_2 - hue_1
    far, grey = turn.abs() > math.pi, chroma_1 * chroma_2 == 0
    turn = torch.where(grey, torch.zeros_like(turn), turn - 2 * math.pi * turn.sign() * far)
    hue = torch.where(grey, hue_1 + hue_2, (hue_1 + hue_2) / 2 + math.pi * far)  # modulo a whole turn
    light, chroma = (light_1 + light_2) / 2, (chroma_1 + chroma_2) / 2
    shape = (1 - 0.17 * torch.cos(hue - math.radians(30)) + 0.24 * torch.cos(2 * hue)
             + 0.32 * torch.cos(3 * hue + math.radians(6)) - 0.2 * torch.cos(4 * hue - math.radians(63)))
    blue = ((torch.rad2deg(hue) % 360 - 275) / 25).square()
    rotation = -torch.sin(math.radians(60) * torch.exp(-blue)) * 2 * _seventh(chroma)
    of_light = (light_2 - light_1) / (1 + 0.015 * (light - 50).square() / (20 + (light - 50).square()).sqrt())
    of_chroma = (chroma_2 - chroma_1) / (1 + 0.045 * chroma)
    of_hue = 2 * (chroma_1 * chroma_2).sqrt() * torch.sin(turn / 2) / (1 + 0.015 * chroma * shape)
    squares = of_light.square() + of_chroma.square() + of_hue.square() + rotation * of_chroma * of_hue
    return squares.clamp(min=0).sqrt()


def _seventh(chroma: Tensor) -> Tensor:
    """sqrt(c^7 / (c^7 + 25^7))."""
    power = chroma**7
    return (power / (power + 25**7)).sqrt()
