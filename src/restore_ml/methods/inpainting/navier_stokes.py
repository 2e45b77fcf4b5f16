"""Navier-Stokes inpainting of Bertalmio, Bertozzi and Sapiro (2001), as OpenCV has it."""

from __future__ import annotations

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.method import Method, Model


def navier_stokes(image: np.ndarray, mask: np.ndarray, radius: float = 3) -> np.ndarray:
    """Fill the pixels of `image` (H x W or H x W x 3 uint8) where `mask` (H x W) is not 0.

    The method carries the smoothness of the picture (its Laplacian) into the hole along the level lines, as a fluid
    carries its vorticity. OpenCV does it in one pass from the rim inwards: each pixel is a mean of its known neighbours
    within `radius`, those along the level line weighing most. Values under the mask are zeroed first and tell nothing.
    Where nothing is known, nothing is filled: the picture stays 0.
    """
    import cv2

    hole = (mask > 0).astype(np.uint8)
    missing = hole[..., None] > 0 if image.ndim == 3 else hole > 0
    known = np.where(missing, 0, image).astype(np.uint8)
    if hole.all() or not hole.any():
        return known
    return np.where(missing, cv2.inpaint(known, hole, radius, cv2.INPAINT_NS), known)


class NavierStokes(Method):
    """Bertalmio, Bertozzi, Sapiro, "Navier-Stokes, fluid dynamics, and image and video inpainting", CVPR 2001.

    `radius`: of the neighbourhood in pixels; 3 is the usual value, as for `telea`. Works on bytes: pictures in [0, 1]
    are rounded to 8 bits.
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
        shown = np.ascontiguousarray(picture[..., 0] if grey else picture)
        return {"image": navier_stokes(shown, mask, self.settings["radius"]).reshape(picture.shape)}


METHOD = NavierStokes
