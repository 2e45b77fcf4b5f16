"""Total-variation inpainting of Chan and Shen (2002), solved by the primal-dual algorithm of Chambolle and Pock."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from restore_ml.nn.hole_filling import HoleFill, harmonic, surroundings


class TVInpaint(HoleFill):
    """Chan and Shen, "Mathematical models for local nontexture inpaintings", 2002; Chambolle and Pock, 2011.

    The sum over all pixels of the length of their gradient, all channels in one length, is made least. Known pixels are
    held; with `noisy` they cost `fidelity` / 2 times the squared distance from what is seen instead, and the hole is
    filled from what that makes of them (what is seen is still put back).
    `iterations`: of the algorithm, from the steady state of heat on; both of its steps are 1 / sqrt(8).
    """

    paper: ClassVar[dict[str, Any]] = {"iterations": 500, "noisy": False, "fidelity": 15.0}
    choices: ClassVar = {"noisy": (False, True)}
    reading = "started from the steady state of heat; mid grey where nothing is known"

    def fill(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        """See `HoleFill.fill`."""
        filled = harmonic(image, hole)
        # Where known pixels are held, what lies beyond the neighbours of the hole changes nothing.
        box = (slice(None), slice(None)) if self.settings["noisy"] else surroundings(hole)
        part = np.moveaxis(filled[box], -1, 0).astype(np.float32)
        filled[box] = np.moveaxis(self._minimise(part, hole[box]), 0, -1)
        # What is not yet at its end may overshoot; clipping shortens every gradient that it changes.
        return np.clip(filled, image[~hole].min(axis=0), image[~hole].max(axis=0))

    def _minimise(self, start: np.ndarray, hole: np.ndarray) -> np.ndarray:
        """C x H x W float32 -> C x H x W."""
        step = np.float32(1 / np.sqrt(8))
        pull = step * np.float32(self.settings["fidelity"])
        picture, ahead = start, start
        slopes = np.zeros((2, *start.shape), np.float32)
        for _ in range(self.settings["iterations"]):
            slopes[0, :, :-1] += step * (ahead[:, 1:] - ahead[:, :-1])
            slopes[1, :, :, :-1] += step * (ahead[:, :, 1:] - ahead[:, :, :-1])
            slopes /= np.maximum(np.sqrt(np.square(slopes).sum(axis=(0, 1))), 1)
            moved = picture + step * _divergence(slopes)
            seen = (moved + pull * start) / (1 + pull) if self.settings["noisy"] else start
            moved = np.where(hole, moved, seen)
            picture, ahead = moved, 2 * moved - picture
        return picture


def _divergence(slopes: np.ndarray) -> np.ndarray:
    """The negative adjoint of the forward difference: 2 x C x H x W -> C x H x W. The last row of `slopes[0]` and the
    last column of `slopes[1]` are 0, as nothing lies beyond."""
    total = slopes[0] + slopes[1]
    total[:, 1:] -= slopes[0, :, :-1]
    total[:, :, 1:] -= slopes[1, :, :, :-1]
    return total


METHOD = TVInpaint
