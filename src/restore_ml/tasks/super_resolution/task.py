"""Super-resolution: a low-resolution picture in, a picture `scale` times as large out.

Setting: `scales`, tested and prepared for training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import ArraySpec
from restore_ml.base.errors import UserError
from restore_ml.kinds import NUMBER, PICTURE
from restore_ml.tasks.base import Task

LARGEST_SCALE = 8
SHORTEST_SIDE = 32
"""Pixels; below it too little is left after the border is shaved to measure structural similarity."""


class SuperResolution(Task):
    """`lr` and `scale` to `sr`, which is compared with `hr`."""

    name = "super_resolution"
    inputs: ClassVar = {"lr": ArraySpec(PICTURE, 3), "scale": ArraySpec(NUMBER, low=1, high=64)}
    target: ClassVar = {"hr": ArraySpec(PICTURE, 3, size_of="lr", scale="scale")}
    output: ClassVar = {"sr": ArraySpec(PICTURE, 3, size_of="lr", scale="scale")}
    defaults: ClassVar = {"scales": [2, 3, 4]}

    def check(self, settings: Mapping[str, Any]) -> None:
        """Scales are whole numbers from 2 to 8."""
        for scale in settings["scales"]:
            if isinstance(scale, bool) or not isinstance(scale, int) or not 2 <= scale <= LARGEST_SCALE:
                raise UserError(f"{scale!r} is no scale of super_resolution; `scales` are whole numbers from 2 to "
                                f"{LARGEST_SCALE}.")

    def accepts(self, picture: np.ndarray, settings: Mapping[str, Any]) -> str | None:
        """Refuses pictures with a side of less than 32 pixels and channel counts other than 1 and 3."""
        if picture.shape[2] not in (1, 3):
            return f"{picture.shape[2]} channels"
        if min(picture.shape[:2]) < SHORTEST_SIDE:
            return f"smaller than {SHORTEST_SIDE} pixels"
        return None


TASK = SuperResolution()
