"""A person's field of view, its nuclei outlined and numbered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.base.errors import UserError
from restore_ml.data.file_kinds import LABELS, PICTURE, Read
from restore_ml.tasks.photos import THREE, Asked, Given, Got, Photos, Restorer, Way, as_array
from restore_ml.tasks.protocol import as_rgb
from restore_ml.tasks.segmentation.instances import outlined

if TYPE_CHECKING:
    from restore_ml.method import Method


MOST = 65535
"""The largest number of a label map of 16 bits."""


class SegmentationPhotos(Photos):
    """The picture as it is, with an outline around each nucleus; and a map of their numbers, 0 the background."""

    @property
    def ways(self) -> tuple[Way, ...]:  # type: ignore[override]
        """A picture in, the outlined picture and its `labels` out."""
        return (Way((Given("image", PICTURE),), (Got("image", PICTURE), Got("labels", LABELS))),)

    def probes(self, method: Method) -> tuple[str, ...]:
        """The one that there is."""
        return ("plain",)

    def restore(self, picture: np.ndarray, mask: np.ndarray | None, scale: int | None,
                restorer: Restorer) -> np.ndarray:
        """H x W x 3 uint8 in and out."""
        return self._found(picture, restorer)[0]

    def answer(self, given: Mapping[str, Read], asked: Asked, restorer: Restorer) -> dict[str, Read]:
        """The outlined picture, and H x W x 1 int32. `UserError` for more nuclei than a label map has numbers."""
        picture = given["image"]
        shown, instances = self._found(as_array(picture.value, THREE), restorer)
        if instances.max() > MOST:
            raise UserError(f"There are {instances.max()} nuclei in the picture; at most {MOST} can be numbered, so "
                            "cut it.")
        return {"image": Read(shown, picture.origin), "labels": Read(instances)}

    def _found(self, picture: np.ndarray, restorer: Restorer) -> tuple[np.ndarray, np.ndarray]:
        inputs = {"image": np.ascontiguousarray(picture)}
        output = restorer(inputs)
        return self.shown(inputs, output), output["instances"]

    def shown(self, inputs: Arrays, output: Arrays) -> np.ndarray:
        """Outlines over the picture."""
        return outlined(as_rgb(inputs["image"]), output["instances"][..., 0])


PHOTOS = SegmentationPhotos()
