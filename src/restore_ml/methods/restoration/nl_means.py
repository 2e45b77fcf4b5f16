"""Non-local means: each pixel the mean of pixels whose surroundings look alike (Buades, Coll and Morel, CVPR 2005).

Weights and sizes are those of the authors' own version (Image Processing On Line 1, 2011): a pixel counts with
exp(-max(d^2 - 2 sigma^2, 0) / h^2), d^2 the mean squared difference of the patches around both, over all channels.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from skimage.restoration import denoise_nl_means

from restore_ml.arrays import Arrays
from restore_ml.method import Method, Model
from restore_ml.metrics.without_truth import grain

SIZES = ((25.0, 3, 21, 0.55), (55.0, 5, 35, 0.40), (100.0, 7, 35, 0.35))
"""Of colour pictures, by the noise up to which they hold (grey levels): sides of patch and search window, h / sigma."""
GRAINY = ("noise", "old_photo", "as_found")
"""How the names of what it is made for begin."""


class NlMeans(Method):
    """`sigma`: the noise in grey levels; 0: that which the picture shows (the median of its finest wavelets), as nobody
    tells a method how much there is."""

    task = "restoration"
    paper: ClassVar[dict[str, Any]] = {"sigma": 0.0}
    reading = "the noise is estimated from the picture"

    def unsupported(self, degradation: str) -> str | None:
        """It takes off what differs from pixel to pixel."""
        return None if degradation.startswith(GRAINY) else "takes off noise alone"

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`image` H x W x 3 uint8 -> the smoother picture in [0, 1]; one without noise comes back."""
        image = inputs["image"]
        sigma = self.settings["sigma"] or grain(image)
        if not sigma > 0:  # nothing to take off (or nothing to tell it by)
            return {"image": image.copy()}
        patch, search, strength = next((entry[1:] for entry in SIZES if sigma <= entry[0]), SIZES[-1][1:])
        smooth = denoise_nl_means(image.astype(np.float64) / 255, patch_size=patch, patch_distance=search // 2,
                                  h=strength * sigma / 255, sigma=sigma / 255, fast_mode=True, channel_axis=-1)
        return {"image": np.clip(smooth, 0, 1).astype(np.float32)}


METHOD = NlMeans
