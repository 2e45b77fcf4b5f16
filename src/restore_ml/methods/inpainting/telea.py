"""Telea's fast marching inpainting (2004), as OpenCV has it."""

from __future__ import annotations

import cv2
import numpy as np

from restore_ml.nn.hole_methods import ByteFill, opencv_fill


def telea(image: np.ndarray, mask: np.ndarray, radius: float = 3) -> np.ndarray:
    """Fill the pixels of `image` (H x W or H x W x 3 uint8) where `mask` (H x W) is not 0.

    Pixels are filled from the rim inwards; each is the weighted mean of its known neighbours within `radius`, continued
    by their gradients; see `opencv_fill` for what is not filled. OpenCV works in 8 bits, rounds half a level up and
    normalises the gradient term, so even a constant picture drifts by a few grey levels inside the hole; it is left so,
    as everybody's baseline is.
    """
    return opencv_fill(image, mask, radius, cv2.INPAINT_TELEA)


class Telea(ByteFill):
    """Alexandru Telea, "An image inpainting technique based on the fast marching method", 2004.

    `radius`: of the neighbourhood in pixels. The paper uses 3 to 10 by the thickness of the hole; 3 is the usual value
    and the fastest.
    """

    paper = {"radius": 3}  # noqa: RUF012

    def fill(self, picture: np.ndarray, mask: np.ndarray, seed: int) -> np.ndarray:
        """See `ByteFill.fill`; nothing random."""
        return telea(picture, mask, self.settings["radius"])


METHOD = Telea
