"""Biharmonic inpainting, as scikit-image has it: the smoothest surface through what is known around the hole."""

from __future__ import annotations

import numpy as np

from restore_ml.nn.hole_filling import HoleFill


class Biharmonic(HoleFill):
    """Damelin and Hoang, "On surface completion and image inpainting by biharmonic functions", 2018.

    The Laplacian of the Laplacian is 0 in every missing pixel. Unlike heat it continues slopes, and so it may
    overshoot; scikit-image clips it to the range of the known pixels, channel by channel. Holes that do not touch each
    other are solved one by one, which gives the same and takes less memory.
    """

    paper = {}  # noqa: RUF012
    reading = "mid grey where nothing is known"

    def fill(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        """See `HoleFill.fill`."""
        from skimage.restoration import inpaint_biharmonic

        filled: np.ndarray = inpaint_biharmonic(image, hole, split_into_regions=True, channel_axis=-1)
        return filled


METHOD = Biharmonic
