"""Faces and whose they are, for networks that recognise persons. Nothing is tested on it: it feeds other runs.

Input and target: `image` (H x W x 3 uint8). Target: `person`, a number that stands for the person's name (int32, equal
for equal names).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import ArraySpec
from restore_ml.kinds import NUMBER, PICTURE
from restore_ml.tasks.base import Task

SHORTEST_SIDE = 32


class FaceIdentity(Task):
    """See the module's docstring."""

    name = "face_identity"
    roles: ClassVar = {"face": "faces"}
    inputs: ClassVar = {"image": ArraySpec(PICTURE, 3)}
    target: ClassVar = {"image": ArraySpec(PICTURE, 3), "person": ArraySpec(NUMBER, low=0)}
    output: ClassVar[dict[str, ArraySpec]] = {}

    def accepts(self, picture: np.ndarray, settings: Mapping[str, Any]) -> str | None:
        """Refuses channel counts other than 1 and 3 and sides of less than 32 pixels."""
        if picture.shape[2] not in (1, 3):
            return f"{picture.shape[2]} channels"
        return f"a side is below {SHORTEST_SIDE} pixels" if min(picture.shape[:2]) < SHORTEST_SIDE else None


TASK = FaceIdentity()
