"""A person's field of view, its nuclei outlined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.tasks.photos import Photos, Restorer
from restore_ml.tasks.protocol import as_rgb
from restore_ml.tasks.segmentation.instances import outlined

if TYPE_CHECKING:
    from restore_ml.method import Method


class SegmentationPhotos(Photos):
    """The picture as it is, with an outline around each nucleus."""

    def probes(self, method: Method) -> tuple[str, ...]:
        """The one that there is."""
        return ("plain",)

    def restore(self, picture: np.ndarray, mask: np.ndarray | None, scale: int | None,
                restorer: Restorer) -> np.ndarray:
        """H x W x 3 uint8 in and out."""
        picture = np.ascontiguousarray(picture)
        return self.shown({"image": picture}, restorer({"image": picture}))

    def shown(self, inputs: Arrays, output: Arrays) -> np.ndarray:
        """Outlines over the picture."""
        return outlined(as_rgb(inputs["image"]), output["instances"][..., 0])


PHOTOS = SegmentationPhotos()
