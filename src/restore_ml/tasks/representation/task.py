"""Clean colour crops, for networks that learn what pictures look like (feature networks). Nothing is tested on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import ArraySpec
from restore_ml.kinds import PICTURE
from restore_ml.tasks.base import Task

SHORTEST_SIDE = 32


class Representation(Task):
    """`image` in and the same `image` as target; what is asked of it is the method's own affair."""

    name = "representation"
    inputs: ClassVar = {"image": ArraySpec(PICTURE, 3)}
    target: ClassVar = {"image": ArraySpec(PICTURE, 3)}
    output: ClassVar[dict[str, ArraySpec]] = {}

    def accepts(self, picture: np.ndarray, settings: Mapping[str, Any]) -> str | None:
        """Refuses grey pictures (the features are of colour pictures) and sides of less than 32 pixels."""
        if picture.shape[2] != 3:
            return "no colour channels"
        return f"smaller than {SHORTEST_SIDE} pixels" if min(picture.shape[:2]) < SHORTEST_SIDE else None


TASK = Representation()
