"""Density slicing: grey levels are cut into N slices, and each slice gets one colour.

Source: the classical intensity slicing (Gonzalez and Woods, Digital Image Processing); method card `gray_slicing`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from restore_ml.degradations.colour import grey_from_lightness
from restore_ml.method import Inputs, Method, Model
from restore_ml.methods.colorization.gray_transform import pseudo_colour, rainbow

LEVELS = 256


def uniform_levels(slices: int) -> list[float]:
    """Inner thresholds that cut [0, 256) into equal slices."""
    return [LEVELS * number / slices for number in range(1, slices)]


def otsu_levels(histogram: np.ndarray, slices: int) -> list[float]:
    """Inner thresholds with the largest variance between slices (multi-level Otsu, equal to 1-D k-means), exactly.

    `histogram`: 256 counts. Dynamic programming over the levels: cost of the best cut of the first j levels into s
    slices. Where several cuts are equally good, the lowest is taken; there may be empty slices.
    """
    weights = histogram.astype(np.float64)
    levels = np.arange(LEVELS)
    mass, first, second = (np.concatenate([[0.0], np.cumsum(weights * levels**power)]) for power in range(3))

    def spread(start: np.ndarray, end: int) -> np.ndarray:
        """Sum of squared deviations of the levels in [start, end)."""
        count = mass[end] - mass[start]
        sums = first[end] - first[start]
        return second[end] - second[start] - np.divide(sums**2, count, out=np.zeros_like(count), where=count > 0)

    cost = np.array([spread(np.array([0]), end)[0] for end in range(LEVELS + 1)])
    cuts = []
    for _ in range(slices - 1):
        best, cut = np.zeros(LEVELS + 1), np.zeros(LEVELS + 1, int)
        for end in range(LEVELS + 1):
            starts = np.arange(end + 1)
            totals = cost[starts] + spread(starts, end)
            cut[end] = int(np.argmin(totals))
            best[end] = totals[cut[end]]
        cost = best
        cuts.append(cut)
    chosen, end = [], LEVELS
    for cut in reversed(cuts):
        end = int(cut[end])
        chosen.append(float(end))
    return chosen[::-1]


def slice_colours(slices: int) -> Tensor:
    """The colour table, N x 3 in [0, 1]: N points of the rainbow curve, at the middles of equal slices."""
    middles = (torch.arange(slices) + 0.5) / slices
    return rainbow(middles.view(1, 1, 1, -1))[0, :, 0].T


class GraySlicing(Method):
    """`slices` N; `thresholds: uniform | otsu` (on the picture's own histogram), or `levels`: N - 1 rising grey levels
    in (0, 256) of the user's. A level belongs to the upper slice. Destroys lightness by design (score `rgb` as it is).

    The grey is the one whose (g, g, g) has the input's lightness, rounded to 8 bit.
    """

    task = "colorization"
    paper: ClassVar[dict[str, Any]] = {"slices": 8, "thresholds": "uniform", "levels": []}
    choices: ClassVar = {"thresholds": ("uniform", "otsu")}
    reading = "the number of slices and the colour table"

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check that the thresholds rise and fit the number of slices."""
        super().__init__(settings)
        slices, levels = self.settings["slices"], self.settings["levels"]
        if not isinstance(slices, int) or not 1 <= slices <= LEVELS:
            raise self.wrong("slices", f"it must be a whole number from 1 to {LEVELS}")
        bounds = [0, *levels, LEVELS]
        rising = all(low < high for low, high in pairwise(bounds))
        if levels and (len(levels) != slices - 1 or not rising):
            raise self.wrong("levels", f"it must be {slices - 1} rising levels in (0, 256)")

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """Colour each pixel by its slice."""
        grey = (255 * grey_from_lightness(inputs["L"])).round()
        slices = self.settings["slices"]
        levels = self.settings["levels"] or uniform_levels(slices)
        if not self.settings["levels"] and self.settings["thresholds"] == "otsu":
            levels = otsu_levels(np.bincount(grey.long().flatten().cpu().numpy(), minlength=LEVELS), slices)
        level = torch.bucketize(grey[:, 0], torch.tensor(levels, device=grey.device, dtype=grey.dtype), right=True)
        return pseudo_colour(slice_colours(slices).to(grey)[level].movedim(-1, 1))


METHOD = GraySlicing
