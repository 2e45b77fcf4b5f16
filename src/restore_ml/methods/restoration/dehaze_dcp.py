"""Dark channel prior: haze taken off by what is nearly black in any clear patch (He, Sun and Tang, CVPR 2009).

In clear outdoor pictures some channel of some pixel of each patch is nearly 0. What is brighter there is haze: it says
how much of the scene's light comes through (t), and the haziest pixels have the colour of the air (A). The transmission
is refined by the guided filter (He, Sun and Tang, 2010) in the place of the first paper's soft matting.
"""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.degradations.masks import length_scale
from restore_ml.method import Method, Model

HAZIEST = 0.001
"""The share of the pixels from which the air's colour is taken."""


class DehazeDcp(Method):
    """`patch`: side of the patches and `radius`: of the guided filter, in pixels of a picture whose shorter side is 256
    (lengths go with it); `keep`: omega, the share of the haze that is taken off; `least`: of the transmission; `eps`:
    of the guided filter.

    Source: the method card `dehaze_dcp`; A is the mean colour of the haziest pixels.
    """

    task = "restoration"
    paper: ClassVar[dict[str, Any]] = {"patch": 15, "radius": 60, "keep": 0.95, "least": 0.1, "eps": 1e-3}
    reading = "lengths in proportion to the picture, those of the paper at a shorter side of 256 pixels"

    def unsupported(self, degradation: str) -> str | None:
        """It models haze."""
        return None if degradation == "haze" else "takes off haze alone"

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`image` H x W x 3 uint8 -> the clear picture in [0, 1]."""
        image, s = inputs["image"].astype(np.float64) / 255, self.settings
        scale = length_scale(*image.shape[:2])
        side = max(1, round(s["patch"] * scale))
        air = air_light(image, dark_channel(image, side))
        through = 1 - s["keep"] * dark_channel(image / air, side)
        grey = image @ np.array([0.299, 0.587, 0.114])
        through = guided_filter(grey, through, max(1, round(s["radius"] * scale)), s["eps"])
        clear = (image - air) / np.maximum(through, s["least"])[..., None] + air
        return {"image": np.clip(clear, 0, 1).astype(np.float32)}


def dark_channel(image: np.ndarray, side: int) -> np.ndarray:
    """The least value of all channels within a square of `side` pixels around each pixel: H x W x 3 -> H x W. An even
    square reaches one pixel further up and to the left than down and to the right."""
    return cv2.erode(image.min(axis=2), np.ones((side, side), np.uint8))


def air_light(image: np.ndarray, dark: np.ndarray) -> np.ndarray:
    """The mean colour of the pixels whose dark channel is brightest (at least one), not below 1/255."""
    count = max(1, round(HAZIEST * dark.size))
    haziest = np.argsort(dark.ravel(), kind="stable")[-count:]
    return np.maximum(image.reshape(-1, image.shape[2])[haziest].mean(axis=0), 1 / 255)


def guided_filter(guide: np.ndarray, values: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """`values` (H x W) smoothed so that they follow the edges of `guide` (H x W): in each window of 2 `radius` + 1
    pixels they are a line a `guide` + b by least squares with the penalty eps a^2, and each pixel has the mean of the
    lines of the windows that it is in. Windows are cut at the picture's edges."""
    side = (2 * radius + 1, 2 * radius + 1)
    inside = cv2.boxFilter(np.ones_like(guide), -1, side, normalize=False, borderType=cv2.BORDER_CONSTANT)

    def mean(array: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(array, -1, side, normalize=False, borderType=cv2.BORDER_CONSTANT) / inside

    guide_mean, value_mean = mean(guide), mean(values)
    slope = (mean(guide * values) - guide_mean * value_mean) / (mean(guide * guide) - guide_mean**2 + eps)
    return mean(slope) * guide + mean(value_mean - slope * guide_mean)


METHOD = DehazeDcp
