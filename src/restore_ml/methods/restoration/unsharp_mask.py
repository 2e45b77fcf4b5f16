"""Unsharp masking: the picture plus what a blur of it takes away. The classical floor of blur."""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.method import Method, Model


class UnsharpMask(Method):
    """x + `amount` (x - G x) with a Gaussian G of `radius` pixels; clipped. It knows nothing of how the picture was
    blurred, as nobody tells a method.
    """

    task = "restoration"
    paper: ClassVar[dict[str, Any]] = {"radius": 1.0, "amount": 1.0}
    reading = "radius and amount, which are whoever's taste"

    def unsupported(self, degradation: str) -> str | None:
        """Sharpening makes all other damage worse."""
        return None if degradation == "blur" else "sharpens what is blurred"

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`image` H x W x 3 uint8 -> the sharper picture in [0, 1]; the picture is mirrored at its edges."""
        image = inputs["image"].astype(np.float64) / 255
        soft = cv2.GaussianBlur(image, (0, 0), self.settings["radius"], borderType=cv2.BORDER_REFLECT_101)
        return {"image": np.clip(image + self.settings["amount"] * (image - soft), 0, 1).astype(np.float32)}


METHOD = UnsharpMask
