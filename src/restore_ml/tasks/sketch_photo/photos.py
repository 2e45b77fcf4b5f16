"""A person's picture of a face, drawn; or a sketch, made a photo, with a model that does only that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.degradations.resize import imresize
from restore_ml.tasks.cropping import at_most
from restore_ml.tasks.photos import Photos, Restorer
from restore_ml.tasks.sketch_photo.task import DIRECTIONS

if TYPE_CHECKING:
    from restore_ml.method import Method

SIDE = 128
"""The shorter side at which a face is drawn: strokes are as wide as in the drawings that were learned from, whose faces
are that large."""


class SketchPhotoPhotos(Photos):
    """The first direction that the model can do: photo to sketch where it can do both."""

    def probes(self, method: Method) -> tuple[str, ...]:
        """Both directions."""
        return DIRECTIONS

    def restore(self, picture: np.ndarray, mask: np.ndarray | None, scale: int | None,
                restorer: Restorer) -> np.ndarray:
        """The drawing, of the picture's size."""
        direction = next((number for number, name in enumerate(DIRECTIONS)
                          if restorer.method.unsupported(name) is None), 0)
        small = at_most(picture, SIDE)
        drawn = restorer({"source": small, "direction": np.array(direction, np.int32)})["picture"]
        return drawn if drawn.shape == picture.shape else imresize(drawn, output_size=picture.shape[:2])

    def shown(self, inputs: Arrays, output: Arrays) -> np.ndarray:
        """`picture` of an output, `truth` of a target."""
        return output["picture"] if "picture" in output else output["truth"]


PHOTOS = SketchPhotoPhotos()
