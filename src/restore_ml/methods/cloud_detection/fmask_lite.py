"""Three tests of Fmask for scenes of four bands: bright, white and not hazy land, and dark ground away from the sun.

The method card, 5.1, a simplified basic test of Zhu and Woodcock, "Object-based cloud and cloud shadow detection in
Landsat imagery", Remote Sensing of Environment 118, 2012. The tests themselves: `degradations.clouds.detect_clouds`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.data.bands import FOUR, names_of
from restore_ml.degradations.clouds import away_from, detect_clouds
from restore_ml.method import Method, Model
from restore_ml.nn.named_bands import bands_by_colour


class FmaskLite(Method):
    """Codes 0 clear, 2 shadow and 4 cloud from blue, green, red and near infrared, wherever they stand.

    `grow`: by how many pixels clouds are grown for their half-transparent rims; the card says 3. Shadows are looked for
    where the sun's azimuth is known.
    """

    task = "cloud_detection"
    paper: ClassVar = {"grow": 3}
    zero_allowed: ClassVar = ("grow",)
    reading = "a simplified basic test: no water, snow or probability, and shadows of one displacement along the sun"
    inputs: ClassVar = ("azimuth",)

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`target` H x W x B float32, `bands` and perhaps `azimuth` -> `codes` H x W x 1; nothing random."""
        bands = inputs["target"].astype(np.float64)
        four = bands_by_colour(bands, names_of(inputs, bands.shape[2]), FOUR, "fmask_lite")
        down, right = away_from(float(inputs["azimuth"][0])) if "azimuth" in inputs else (0.0, 0.0)
        sun = (float(down), float(right)) if "azimuth" in inputs else None
        return {"codes": detect_clouds(four, sun, grow=self.settings["grow"]).astype(np.float32)[..., None]}


METHOD = FmaskLite
