"""Colorization using optimization: neighbours of like grey get like colour, the hints are kept.

    minimise  sum over r of (U(r) - sum over s near r of w_rs U(s))^2   with U fixed at the hints,

for each of the two colour channels. w_rs falls with the difference of grey, measured by the variance around r; the
weights of a pixel sum to 1. As in the authors' code the linear system (I - W) U = 0 at the free pixels, U = hint at the
others, is solved directly.
Source: Levin, Lischinski, Weiss, SIGGRAPH 2004, and the authors' code; the method card `levin_scribble`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.degradations.colour import grey_from_lightness
from restore_ml.method import Method, Model

VARIANCE_SHARE, WEAKEST, LEAST = 0.6, 0.01, 2e-6
"""Of the variance; the least weight that the neighbour of the nearest grey may have before it is normalised; of the
squared deviation, against division by 0."""
NEIGHBOURS = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0))


class LevinScribble(Method):
    """`cases`: the degradations that are shown, all with hints where it is empty.

    reading: a and b of Lab in place of U and V, because the task keeps Lab lightness; grey is the encoded value whose
    (g, g, g) has that lightness. Without any hint the colour is 0, the smallest of all solutions. Large pictures are
    solved directly too (the card would iterate from 256 pixels on).
    """

    task = "guided_colorization"
    reading = "a and b of Lab in place of U and V; without a hint no colour is given"
    paper: ClassVar[dict[str, Any]] = {"cases": []}

    def unsupported(self, degradation: str) -> str | None:
        """Needs hints; and cases that the run leaves out."""
        if degradation == "hints_0":
            return "needs hints"
        cases = self.settings["cases"]
        return None if not cases or degradation in cases else "left out by the run's setting cases"

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`L`, `hint` and `hinted` (H x W x 1, 2 and 1) to `ab` (H x W x 2)."""
        fixed = inputs["hinted"][..., 0] > 0
        hint = inputs["hint"].astype(np.float64)
        if not fixed.any() or fixed.all():
            return {"ab": (hint * fixed[..., None]).astype(np.float32)}
        return {"ab": spread(grey_from_lightness(inputs["L"][..., 0].astype(np.float64)), hint, fixed)}


def spread(grey: np.ndarray, hint: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """The colours (H x W x 2 float32) of a grey picture (H x W in [0, 1]) whose `fixed` pixels have those of `hint`."""
    from scipy.sparse import identity
    from scipy.sparse.linalg import splu

    weights = affinities(grey)
    free = ~fixed.ravel()
    rows = weights[free]
    colours = hint.reshape(-1, 2)
    known = rows[:, ~free] @ colours[~free]
    system = identity(int(free.sum()), format="csc") - rows[:, free]
    solved = colours.copy()
    solved[free] = splu(system.tocsc()).solve(known)
    return solved.reshape(hint.shape).astype(np.float32)


def affinities(grey: np.ndarray) -> Any:
    """W: a sparse matrix (HW x HW) with the weights of the up to 8 neighbours of each pixel in its row, which sum to 1.

    w = exp(-(difference of grey)^2 / s), s = 0.6 of the variance of grey over the pixel and its neighbours, at least
    so large that the neighbour of the nearest grey has 0.01, and at least 2e-6.
    """
    from scipy.sparse import csr_matrix

    height, width = grey.shape
    around = np.pad(grey, 1, constant_values=np.nan)
    shifted = np.stack([around[1 + down:1 + down + height, 1 + right:1 + right + width]
                        for down, right in NEIGHBOURS])
    squares = (shifted - grey) ** 2
    variance = np.nanvar(np.concatenate([shifted, grey[None]]), axis=0)
    spread_of = np.maximum(np.maximum(VARIANCE_SHARE * variance, -np.nanmin(squares, axis=0) / np.log(WEAKEST)), LEAST)
    values = np.nan_to_num(np.exp(-squares / spread_of))  # beyond the picture: none
    values /= values.sum(axis=0)
    places = np.arange(height * width).reshape(height, width)
    columns = np.stack([places + down * width + right for down, right in NEIGHBOURS])
    inside = ~np.isnan(shifted)
    rows = np.broadcast_to(places, shifted.shape)
    return csr_matrix((values[inside], (rows[inside], columns[inside])), shape=(height * width,) * 2)


METHOD = LevinScribble
