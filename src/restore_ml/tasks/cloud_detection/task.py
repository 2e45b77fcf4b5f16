"""Cloud detection: a scene of one date in, which of its pixels are cloud and which lie in a cloud's shadow out.

Inputs: `target` (H x W x B float32 reflectance) and `bands` (the names of its bands, see `restore_ml.data.bands`).
Target and output: `codes` in Fmask's own numbers (see `CODES`; the masks of scenes count otherwise,
`restore_ml.data.scenes.MASK`). The azimuth of the sun is an optional input. Source: the method card, part 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import ArraySpec
from restore_ml.kinds import FLOAT, LABELS, TEXT
from restore_ml.tasks.base import Task
from restore_ml.tasks.cloud_removal.task import REFLECTANCE, SMALLEST

CLEAR, WATER, SHADOW, SNOW, CLOUD, NOTHING = 0, 1, 2, 3, 4, 255
CODES = {CLEAR: "clear land", WATER: "water", SHADOW: "shadow", SNOW: "snow", CLOUD: "cloud", NOTHING: "nothing"}
"""Fmask's (Zhu and Woodcock 2012). python-fmask counts otherwise: whoever reads masks must ask which."""


class CloudDetection(Task):
    """See the module's docstring; bands are as many as a scene has."""

    name = "cloud_detection"
    roles: ClassVar = {"scene": "scenes"}
    inputs: ClassVar = {"target": ArraySpec(FLOAT, 0, *REFLECTANCE), "bands": ArraySpec(TEXT, 0)}
    target: ClassVar = {"codes": ArraySpec(LABELS, 0, size_of="target")}
    output: ClassVar = {"codes": ArraySpec(LABELS, 0, size_of="target")}

    def accepts(self, picture: np.ndarray, settings: Mapping[str, Any]) -> str | None:
        """Refuses scenes with a side below 32 pixels."""
        return f"a side is below {SMALLEST} pixels" if min(picture.shape[:2]) < SMALLEST else None


TASK = CloudDetection()
