"""Isotropic diffusion: heat flows from the rim into the hole. The traditional baseline of patent CN 110689495 A."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from restore_ml.nn.hole_filling import HoleFill, differences, harmonic, neighbour_counts, surroundings


class DiffusionHeat(HoleFill):
    """The Laplacian is 0 in every missing pixel. Source: method card `diffusion_heat`.

    `variant`: `steady` solves for the steady state. `time_limited` starts from the mean colour of the known pixels and
    sets every missing pixel to the mean of its neighbours, `sweeps` times or until no value in [0, 1] changes by
    `tolerance`. `perona_malik` (1990) starts from the steady state and makes `sweeps` steps of `rate`, in which less
    flows between pixels the more they differ: exp(-(difference / `kappa`)^2) of it.
    """

    paper: ClassVar[dict[str, Any]] = {"variant": "steady", "sweeps": 1000, "tolerance": 1e-4, "kappa": 0.1,
                                       "rate": 0.2}
    choices: ClassVar = {"variant": ("steady", "time_limited", "perona_malik")}
    reading = "mid grey where nothing is known"

    def fill(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        """See `HoleFill.fill`."""
        if self.settings["variant"] == "steady":
            return harmonic(image, hole)
        if self.settings["variant"] == "time_limited":
            return self._sweep(np.where(hole[..., None], image[~hole].mean(axis=0), image), hole)
        return self._perona_malik(harmonic(image, hole), hole)

    def _sweep(self, start: np.ndarray, hole: np.ndarray) -> np.ndarray:
        """Jacobi's sweeps."""
        filled, box = start.copy(), surroundings(hole)
        part, missing = filled[box], hole[box][..., None]
        shares = missing / neighbour_counts(*part.shape[:2])[..., None]
        for _ in range(self.settings["sweeps"]):
            change = shares * differences(part).sum(axis=0)
            part += change
            if np.abs(change).max() < self.settings["tolerance"]:
                break
        return filled

    def _perona_malik(self, start: np.ndarray, hole: np.ndarray) -> np.ndarray:
        """Explicit steps; the channels share their conductivity, by the root of their mean squared difference."""
        filled, box = start.copy(), surroundings(hole)
        part, missing = filled[box], hole[box][..., None]
        for _ in range(self.settings["sweeps"]):
            flow = differences(part)
            conductivity = np.exp(-(flow ** 2).mean(axis=3, keepdims=True) / self.settings["kappa"] ** 2)
            part += self.settings["rate"] * missing * (conductivity * flow).sum(axis=0)
        return filled


METHOD = DiffusionHeat
