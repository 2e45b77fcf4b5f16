"""Navier-Stokes inpainting of Bertalmio, Bertozzi and Sapiro (2001), as OpenCV has it."""

from __future__ import annotations

import cv2
import numpy as np

from restore_ml.nn.hole_methods import ByteFill, opencv_fill


def navier_stokes(image: np.ndarray, mask: np.ndarray, radius: float = 3) -> np.ndarray:
    """Fill the pixels of `image` (H x W or H x W x 3 uint8) where `mask` (H x W) is not 0.

    The method carries the smoothness of the picture (its Laplacian) into the hole along the level lines, as a fluid
    carries its vorticity. OpenCV does it in one pass from the rim inwards: each pixel is a mean of its known neighbours
    within `radius`, those along the level line weighing most; see `opencv_fill` for what is not filled.
    """
    return opencv_fill(image, mask, radius, cv2.INPAINT_NS)


class NavierStokes(ByteFill):
    """Bertalmio, Bertozzi, Sapiro, "Navier-Stokes, fluid dynamics, and image and video inpainting", CVPR 2001.

    `radius`: of the neighbourhood in pixels; 3 is the usual value, as for `telea`.
    """

    paper = {"radius": 3}  # noqa: RUF012

    def fill(self, picture: np.ndarray, mask: np.ndarray, seed: int) -> np.ndarray:
        """See `ByteFill.fill`; nothing random."""
        return navier_stokes(picture, mask, self.settings["radius"])


METHOD = NavierStokes
