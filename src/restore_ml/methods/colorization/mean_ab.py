"""One colour for everything: the mean ab of the training pictures (colorization card `mean_ab`).

Of all constants it has the least squared error on the training split, so what does not beat it has learned nothing
about the picture it sees.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.degradations.colour import rgb_to_lab
from restore_ml.method import Method, Model
from restore_ml.tasks.base import Material


class MeanAb(Method):
    """Gives the same (a, b) at every pixel of every picture; the grey is not looked at."""

    task = "colorization"
    paper: ClassVar[dict[str, Any]] = {}

    def prepare(self, material: Material, seed: int) -> Arrays:
        """`mean`: (a, b) averaged over all pixels of the training pictures, a large picture counting more, float32."""
        total, pixels = np.zeros(2), 0
        for record in material.records:
            ab = rgb_to_lab(record.arrays["rgb"])[..., 1:].reshape(-1, 2)
            total += ab.sum(0)
            pixels += len(ab)
        return {"mean": (total / pixels).astype(np.float32)}

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """The constant, H x W x 2."""
        return {"ab": np.tile(model.arrays["mean"], (*inputs["L"].shape[:2], 1))}


METHOD = MeanAb
