"""Whatever is bright is cloud: a threshold on the mean of the visible bands. The floor of every cloud detector."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.data.bands import names_of
from restore_ml.method import Method, Model
from restore_ml.nn.named_bands import bands_by_colour
from restore_ml.tasks.cloud_detection.task import CLOUD


class BrightPixels(Method):
    """Cloud where the mean of blue, green and red is above `brightness`; no shadow is looked for.

    Its threshold is the first of the three tests of `fmask_lite`. Source: the method card, 5.1.
    """

    task = "cloud_detection"
    paper: ClassVar = {"brightness": 0.25}

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`target` H x W x B float32 and `bands` -> `codes` H x W x 1; nothing random."""
        bands = inputs["target"]
        visible = bands_by_colour(bands, names_of(inputs, bands.shape[2]), ("blue", "green", "red"), "bright_pixels")
        bright = visible.mean(axis=2, keepdims=True) > self.settings["brightness"]
        return {"codes": np.where(bright, np.float32(CLOUD), np.float32(0))}


METHOD = BrightPixels
