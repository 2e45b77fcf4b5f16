"""Telea's fast marching inpainting (2004), as OpenCV has it."""

from __future__ import annotations

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.method import Method, Model


def telea(image: np.ndarray, mask: np.ndarray, radius: float = 3) -> np.ndarray:
    """Fill the pixels of `image` (H x W or H x W x 3 uint8) where `mask` (H x W) is not 0.

    Pixels are filled from the rim inwards; each is the weighted mean of its known neighbours within `radius`, continued
    by their gradients. Values under the mask are zeroed first and tell nothing. Where nothing is known, nothing is
    filled: the picture stays 0. OpenCV works in 8 bits, rounds half a level up and normalises the gradient term, so
    even a constant picture drifts by a few grey levels inside the hole; it is left so, as everybody's baseline is.
    """
    import cv2

    hole = (mask > 0).astype(np.uint8)
    known = np.where(hole[..., None] if image.ndim == 3 else hole, 0, image).astype(np.uint8)
    if hole.all() or not hole.any():
        return known
    filled = cv2.inpaint(known, hole, radius, cv2.INPAINT_TELEA)
    return np.where(hole[..., None] if image.ndim == 3 else hole, filled, known)


class Telea(Method):
    """Alexandru Telea, "An image inpainting technique based on the fast marching method", 2004.

    `radius`: of the neighbourhood in pixels. The paper uses 3 to 10 by the thickness of the hole; 3 is the usual value
    and the fastest. Works on bytes: pictures in [0, 1] are rounded to 8 bits.
    """

    task = "inpainting"
    paper = {"radius": 3}  # noqa: RUF012

    def unsupported(self, degradation: str) -> str | None:
        """It needs known pixels."""
        from restore_ml.degradations.dense import DENSE

        return "fills holes only" if degradation in DENSE else None

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`image` H x W x 3 (or 1) uint8, `mask` H x W x 1 -> `image` of the same shape; nothing random."""
        picture, mask = inputs["image"], inputs["mask"][..., 0]
        grey = picture.shape[2] == 1
        filled = telea(np.ascontiguousarray(picture[..., 0] if grey else picture), mask, self.settings["radius"])
        return {"image": filled[..., None] if grey else filled}


METHOD = Telea
