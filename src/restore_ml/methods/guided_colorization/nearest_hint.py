"""Each pixel takes the colour of the nearest hint: what hints give anybody, whatever the picture shows."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.method import Method, Model


class NearestHint(Method):
    """A Voronoi diagram of the hints; no colour where there is none. A floor of ours, nothing is trained."""

    task = "guided_colorization"
    paper: ClassVar[dict[str, Any]] = {}

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`hint` and `hinted` (H x W x 2 and 1) to `ab` (H x W x 2)."""
        from scipy.ndimage import distance_transform_edt

        there = inputs["hinted"][..., 0] > 0
        if not there.any():
            return {"ab": np.zeros_like(inputs["hint"])}
        rows, columns = distance_transform_edt(~there, return_distances=False, return_indices=True)
        return {"ab": inputs["hint"][rows, columns]}


METHOD = NearestHint
