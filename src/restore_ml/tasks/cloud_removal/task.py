"""Cloud removal: recover what clouds, shadows or sensor gaps hide in a multi-band scene, from a second date.

Inputs: `target` (H x W x B float32 reflectance at the date with gaps: white under clouds, 0 in sensor gaps, no truth in
either), `reference` (the same place at a clear date), `mask` (1 = missing) and `bands` (the names of the bands, see
`restore_ml.data.bands`). Target: `truth`. Output: `image`.
Source: the method card, part 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import Arrays, ArraySpec
from restore_ml.kinds import FLOAT, MASK, TEXT
from restore_ml.tasks.base import Task

SMALLEST = 32
REFLECTANCE = (0.0, 6.6)
"""What 16-bit digital numbers of reflectance can hold."""


class CloudRemoval(Task):
    """See the module's docstring; bands are as many as a scene has."""

    name = "cloud_removal"
    roles: ClassVar = {"scene": "scenes"}
    inputs: ClassVar = {"target": ArraySpec(FLOAT, 0, *REFLECTANCE),
                        "reference": ArraySpec(FLOAT, 0, *REFLECTANCE, size_of="target"),
                        "mask": ArraySpec(MASK, 1, size_of="target"), "bands": ArraySpec(TEXT, 0)}
    target: ClassVar = {"truth": ArraySpec(FLOAT, 0, *REFLECTANCE, size_of="target")}
    output: ClassVar = {"image": ArraySpec(FLOAT, 0, size_of="target")}

    def accepts(self, picture: np.ndarray, settings: Mapping[str, Any]) -> str | None:
        """Refuses scenes with a side below 32 pixels."""
        return f"a side is below {SMALLEST} pixels" if min(picture.shape[:2]) < SMALLEST else None

    def compose(self, inputs: Arrays, output: Arrays) -> Arrays:
        """Band by band: the output where the mask is 1, the untouched input elsewhere."""
        return {**output, "image": np.where(inputs["mask"] > 0, output["image"], inputs["target"])}


TASK = CloudRemoval()
