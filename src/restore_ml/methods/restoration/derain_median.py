"""A median along each row: what thin, nearly vertical lines do not survive. The classical floor of rain."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.method import Method, Model

LINES = ("rain", "rain_heavy", "old_photo", "as_found")
"""What has such lines: streaks of rain, scratches."""


class DerainMedian(Method):
    """`width`: of the window along the row, odd, 3 to 7 pixels: wider than twice a streak.

    Source: the method card `derain`, its classical floor.
    """

    task = "restoration"
    paper: ClassVar[dict[str, Any]] = {"width": 7}
    choices: ClassVar = {"width": (3, 5, 7)}
    reading = "a window of one row"

    def unsupported(self, degradation: str) -> str | None:
        """It knows nothing but thin lines."""
        return None if degradation in LINES else "takes off thin lines that stand upright"

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`image` H x W x 3 uint8 -> each channel's median along the row; edge pixels are repeated."""
        image, reach = inputs["image"], self.settings["width"] // 2
        framed = np.pad(image, ((0, 0), (reach, reach), (0, 0)), "edge")
        shifted = [framed[:, start:start + image.shape[1]] for start in range(self.settings["width"])]
        return {"image": np.sort(np.stack(shifted), axis=0)[reach]}


METHOD = DerainMedian
