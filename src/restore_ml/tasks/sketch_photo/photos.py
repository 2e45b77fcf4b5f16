"""A person's picture of a face, drawn; or a sketch, made a photo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.base.errors import UserError
from restore_ml.data.file_kinds import Read
from restore_ml.degradations.resize import imresize
from restore_ml.tasks.cropping import at_most
from restore_ml.tasks.photos import THREE, Asked, Option, Photos, Restorer, as_array
from restore_ml.tasks.sketch_photo.task import DIRECTIONS

if TYPE_CHECKING:
    from restore_ml.method import Method

SIDE = 128
"""The shorter side at which a face is drawn: strokes are as wide as in the drawings that were learned from, whose faces
are that large."""

FIRST = "first"


class SketchPhotoPhotos(Photos):
    """The first direction that the model can do, photo to sketch where it can do both; or the one of
    the option `direction`."""

    options = (Option("direction", "what is made of what; first: the first one that the model can do",
                      (FIRST, *DIRECTIONS)),)

    def probes(self, method: Method) -> tuple[str, ...]:
        """Both directions."""
        return DIRECTIONS

    def restore(self, picture: np.ndarray, mask: np.ndarray | None, scale: int | None,
                restorer: Restorer) -> np.ndarray:
        """The drawing, of the picture's size."""
        return self._made(picture, FIRST, restorer)

    def answer(self, given: Mapping[str, Read], asked: Asked, restorer: Restorer) -> dict[str, Read]:
        """The same in the direction that is asked for. `UserError` for one that the model cannot do."""
        picture, direction = given["image"], asked.options["direction"]
        reason = None if direction == FIRST else restorer.method.unsupported(direction)
        if reason:
            raise UserError(f"This model cannot do {direction}: {reason}; leave the direction out, or name another "
                            "model.")
        return {"image": Read(self._made(as_array(picture.value, THREE), direction, restorer), picture.origin)}

    def _made(self, picture: np.ndarray, asked: str, restorer: Restorer) -> np.ndarray:
        direction = next((number for number, name in enumerate(DIRECTIONS)
                          if restorer.method.unsupported(name) is None), 0)
        if asked != FIRST:
            direction = DIRECTIONS.index(asked)
        small = at_most(picture, SIDE)
        drawn = restorer({"source": small, "direction": np.array(direction, np.int32)})["picture"]
        return drawn if drawn.shape == picture.shape else imresize(drawn, output_size=picture.shape[:2])

    def shown(self, inputs: Arrays, output: Arrays) -> np.ndarray:
        """`picture` of an output, `truth` of a target."""
        return output["picture"] if "picture" in output else output["truth"]


PHOTOS = SketchPhotoPhotos()
