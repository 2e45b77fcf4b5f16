"""A person's picture with what was found in it outlined, and the boxes themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.data.file_kinds import BOXES, PICTURE, Boxes, Read
from restore_ml.tasks.detection.drawing import RIGHT, drawn
from restore_ml.tasks.detection.task import CLASSES, THRESHOLD
from restore_ml.tasks.photos import THREE, Asked, Given, Got, Photos, Restorer, Way, as_array
from restore_ml.tasks.protocol import as_rgb

if TYPE_CHECKING:
    from restore_ml.method import Method


class DetectionPhotos(Photos):
    """A picture in, the same with boxes out, and these with their classes and scores."""

    @property
    def ways(self) -> tuple[Way, ...]:  # type: ignore[override]
        """A picture in, the drawn picture and its `boxes` out."""
        return (Way((Given("image", PICTURE),), (Got("image", PICTURE), Got("boxes", BOXES))),)

    def probes(self, method: Method) -> tuple[str, ...]:
        """The picture as it is."""
        return ("plain",)

    def restore(self, picture: np.ndarray, mask: np.ndarray | None, scale: int | None,
                restorer: Restorer) -> np.ndarray:
        """The boxes with a score of at least THRESHOLD drawn over the picture."""
        return self._found(picture, restorer)[0]

    def answer(self, given: Mapping[str, Read], asked: Asked, restorer: Restorer) -> dict[str, Read]:
        """The drawn picture and the boxes that are drawn, the surest first."""
        picture = given["image"]
        shown, output = self._found(as_array(picture.value, THREE), restorer)
        drawn_ones = np.flatnonzero((output["scores"] >= THRESHOLD) & output["boxes"].any(axis=1))
        best = drawn_ones[np.argsort(-output["scores"][drawn_ones], kind="stable")]
        boxes = Boxes(output["boxes"][best], tuple(CLASSES[int(output["labels"][place])] for place in best),
                      output["scores"][best])
        return {"image": Read(shown, picture.origin), "boxes": Read(boxes)}

    def _found(self, picture: np.ndarray, restorer: Restorer) -> tuple[np.ndarray, Arrays]:
        inputs = {"image": np.ascontiguousarray(picture)}
        output = restorer(inputs)
        return self.shown(inputs, output), output

    def shown(self, inputs: Arrays, output: Arrays) -> np.ndarray:
        """The picture with the boxes of an output, or of a target."""
        boxes = output["boxes"][output["scores"] >= THRESHOLD] if "scores" in output else output["boxes"]
        return drawn(as_rgb(inputs["image"]), [(box, RIGHT) for box in boxes if box.any()])


PHOTOS = DetectionPhotos()
