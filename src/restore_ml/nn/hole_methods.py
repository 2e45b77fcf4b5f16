"""What classical methods of inpainting have in common as methods: holes alone are filled, and bytes become bytes."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.method import Method, Model


class HolesOnly(Method):
    """A method that fills the holes of one picture from its known pixels."""

    task = "inpainting"


class ByteFill(HolesOnly):
    """It works on bytes: pictures in [0, 1] are rounded to 8 bits. Subclasses say how they `fill`."""

    def fill(self, picture: np.ndarray, mask: np.ndarray, seed: int) -> np.ndarray:
        """H x W x 3 (or 1) uint8 and H x W (1 = missing) -> the filled picture of the same shape."""
        raise NotImplementedError

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`image` H x W x 3 (or 1) uint8, `mask` H x W x 1 -> `image` of the same shape."""
        return {"image": self.fill(inputs["image"], inputs["mask"][..., 0], seed)}


class ExemplarFill(ByteFill):
    """It copies from the known part by square patches, whose odd side in pixels is the setting named `side`."""

    side = "patch"

    def __init__(self, settings: dict[str, Any]) -> None:
        """Raises `SettingError` for an even side."""
        super().__init__(settings)
        if self.settings[self.side] % 2 == 0:
            raise self.wrong(self.side, "it must be odd, as it lies around a pixel")


def opencv_fill(image: np.ndarray, mask: np.ndarray, radius: float, method: int) -> np.ndarray:
    """OpenCV's filling of `image` (H x W or H x W x 3 or x 1, uint8) where `mask` (H x W) is not 0, by `method`
    (cv2.INPAINT_TELEA or cv2.INPAINT_NS) with neighbours within `radius` pixels.

    Values under the mask are zeroed first and tell nothing. Where nothing is known, nothing is filled: the picture
    stays 0.
    """
    hole = (mask > 0).astype(np.uint8)
    missing = hole[..., None] > 0 if image.ndim == 3 else hole > 0
    known = np.where(missing, 0, image).astype(np.uint8)
    if hole.all() or not hole.any():
        return known
    return np.where(missing, cv2.inpaint(known, hole, radius, method).reshape(known.shape), known)
