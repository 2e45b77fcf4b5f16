"""Inpainting: fill the missing pixels of a photograph, known pixels kept bit for bit.

Inputs: `image` (picture, 3 channels, hole pixels 0; with a watermark, highlight or mosaic as observed) and `mask` (1 =
missing). Target: `image`. Output: `image`, and of a method that judges its own filling `accepted` (mask, 1 where it
takes it for real). Pictures that are damaged everywhere (haze, rain, noise, blur) are the task restoration's.
Setting: `size`, the side of the square that is tested on, and of the masks in the pool; 0: whole pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import Arrays, ArraySpec
from restore_ml.kinds import MASK, PICTURE
from restore_ml.tasks.base import Task

SHORTEST_SIDE = 32
"""Pixels; the least that is accepted with `size` 0."""


class Inpainting(Task):
    """See the module's docstring."""

    name = "inpainting"
    inputs: ClassVar = {"image": ArraySpec(PICTURE, 3), "mask": ArraySpec(MASK, 1, size_of="image")}
    target: ClassVar = {"image": ArraySpec(PICTURE, 3)}
    output: ClassVar = {"image": ArraySpec(PICTURE, 3, size_of="image"),
                        "accepted": ArraySpec(MASK, 1, size_of="image")}
    optional_output = ("accepted",)
    defaults: ClassVar = {"size": 128}

    def accepts(self, picture: np.ndarray, settings: Mapping[str, Any]) -> str | None:
        """Refuses pictures whose shorter side is below `size` (nothing is tested or trained on enlarged pixels) and
        those that are neither grey nor RGB."""
        if picture.shape[2] not in (1, 3):
            return f"{picture.shape[2]} channels"
        least = self.resolve(settings)["size"] or SHORTEST_SIDE
        return f"the shorter side is below {least} pixels" if min(picture.shape[:2]) < least else None

    def compose(self, inputs: Arrays, output: Arrays) -> Arrays:
        """The output inside the hole, the untouched input elsewhere."""
        return {**output, "image": np.where(inputs["mask"] > 0, output["image"], inputs["image"])}


TASK = Inpainting()
