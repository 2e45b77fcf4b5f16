"""A person's picture with what was found in it outlined, and the boxes themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.data.file_kinds import BOXES, Boxes
from restore_ml.tasks.detection.drawing import RIGHT, drawn
from restore_ml.tasks.detection.task import CLASSES, THRESHOLD
from restore_ml.tasks.photos import Annotated, Got
from restore_ml.tasks.protocol import as_rgb

if TYPE_CHECKING:
    from restore_ml.method import Method


class DetectionPhotos(Annotated):
    """A picture in, the same with boxes out, and these with their classes and scores."""

    finding: ClassVar = Got("boxes", BOXES)

    def probes(self, method: Method) -> tuple[str, ...]:
        """The picture as it is."""
        return ("plain",)

    def shown(self, inputs: Arrays, output: Arrays) -> np.ndarray:
        """The picture with the boxes of an output that have a score of at least THRESHOLD, or with those of a
        target."""
        boxes = output["boxes"][output["scores"] >= THRESHOLD] if "scores" in output else output["boxes"]
        return drawn(as_rgb(inputs["image"]), [(box, RIGHT) for box in boxes if box.any()])

    def found(self, inputs: Arrays, output: Arrays) -> Boxes:
        """The boxes that are drawn, the surest first."""
        rows = np.flatnonzero((output["scores"] >= THRESHOLD) & output["boxes"].any(axis=1))
        best = rows[np.argsort(-output["scores"][rows], kind="stable")]
        return Boxes(output["boxes"][best], tuple(CLASSES[int(output["labels"][row])] for row in best),
                     output["scores"][best])


PHOTOS = DetectionPhotos()
