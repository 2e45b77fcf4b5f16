"""A person's picture with what was found in it outlined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.tasks.detection.drawing import RIGHT, drawn
from restore_ml.tasks.detection.task import THRESHOLD
from restore_ml.tasks.photos import Photos, Restorer
from restore_ml.tasks.protocol import as_rgb

if TYPE_CHECKING:
    from restore_ml.method import Method


class DetectionPhotos(Photos):
    """A picture in, the same with boxes out."""

    def probes(self, method: Method) -> tuple[str, ...]:
        """The picture as it is."""
        return ("plain",)

    def restore(self, picture: np.ndarray, mask: np.ndarray | None, scale: int | None,
                restorer: Restorer) -> np.ndarray:
        """The boxes with a score of at least THRESHOLD drawn over the picture."""
        image = np.ascontiguousarray(picture)
        return self.shown({"image": image}, restorer({"image": image}))

    def shown(self, inputs: Arrays, output: Arrays) -> np.ndarray:
        """The picture with the boxes of an output, or of a target."""
        boxes = output["boxes"][output["scores"] >= THRESHOLD] if "scores" in output else output["boxes"]
        return drawn(as_rgb(inputs["image"]), [(box, RIGHT) for box in boxes if box.any()])


PHOTOS = DetectionPhotos()
