"""No colour at all: ab = 0 everywhere (colorization card `gray_ab0`), the floor that any colorization must pass.

The output is the grey picture itself; PSNR rewards it, which is why the comparison shows chroma and accuracy beside it.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.method import Method, Model


class GrayAb0(Method):
    """Gives `ab` of zeros, H x W x 2, for any lightness."""

    task = "colorization"
    serves = ("guided_colorization",)
    paper: ClassVar[dict[str, Any]] = {}

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """Neutral grey of the given lightness."""
        return {"ab": np.repeat(np.zeros_like(inputs["L"]), 2, axis=2)}


METHOD = GrayAb0
