"""One straight line a band between the dates of a scene: x̂ = a r + c, fitted on the clear pixels.

The radiometric map that all patch regressions of this task start from, alone: what they add must show beyond it.
Source: the method card, 5.4 and `rs_global_linear`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.method import Method, Model
from restore_ml.nn.scene_patches import radiometric_map


class GlobalLinear(Method):
    """out = (1 - m) target + m (a_b reference + c_b), a_b and c_b by least squares over the clear pixels of band b.

    It has no settings. A band that is constant in the clear part of the reference gets a = 1, and a scene without clear
    pixels gets the reference.
    """

    task = "cloud_removal"
    paper: ClassVar[dict[str, Any]] = {}

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`target`, `reference` H x W x B float32, `mask` H x W x 1 -> `image` H x W x B; nothing random."""
        target, reference = (inputs[name].astype(np.float64) for name in ("target", "reference"))
        missing = inputs["mask"][..., 0] > 0
        mapped = radiometric_map(target, reference, missing)
        return {"image": np.where(missing[..., None], mapped, target).astype(np.float32)}


METHOD = GlobalLinear
