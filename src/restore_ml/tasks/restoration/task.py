"""Restoration: a picture that is damaged everywhere in, the picture as it was out.

Input: `image` (picture, 3 channels): haze, rain, noise, blur, a visible watermark or an old photograph's ageing.
Nothing in it is known to be right, so nothing is put back. Targets: `image`, and `scratches` (1 = a scratch or a speck
of dust lies there), which is empty but for old photographs. Output: `image`. What a method may see of the scratches is
an optional input (optional.py).
Setting: `size`, the side of the square that is tested on; 0: whole pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import ArraySpec
from restore_ml.kinds import MASK, PICTURE
from restore_ml.tasks.base import Task
from restore_ml.tasks.inpainting.task import TASK as INPAINTING


class Restoration(Task):
    """See the module's docstring."""

    name = "restoration"
    inputs: ClassVar = {"image": ArraySpec(PICTURE, 3)}
    target: ClassVar = {"image": ArraySpec(PICTURE, 3), "scratches": ArraySpec(MASK, 1, size_of="image")}
    output: ClassVar = {"image": ArraySpec(PICTURE, 3, size_of="image")}
    defaults: ClassVar = {"size": 128}

    def accepts(self, picture: np.ndarray, settings: Mapping[str, Any]) -> str | None:
        """Takes the pictures that inpainting takes."""
        return INPAINTING.accepts(picture, {"size": self.resolve(settings)["size"]})


TASK = Restoration()
