"""A person's photograph, painted like a painting that she gives."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.data.file_kinds import PICTURE, Read
from restore_ml.tasks.cropping import at_most
from restore_ml.tasks.photos import THREE, Asked, Exchange, Given, Got, Option, Restorer, Way, as_array
from restore_ml.tasks.style_transfer.task import CONTENT, SMALLEST, STYLE


class StyleTransferPhotos(Exchange):
    """Strokes are as wide as they are in the painting at the option `side`, and the time grows with its square: larger
    pictures are made smaller to that, and the result is of that size."""

    ways = (Way((Given(CONTENT, PICTURE), Given(STYLE, PICTURE)), (Got("image", PICTURE),)),)
    options = (Option("side", "pixels of the shorter side at which larger pictures are painted",
                      ("256", "512", "1024")),)

    def answer(self, given: Mapping[str, Read], asked: Asked, restorer: Restorer) -> dict[str, Read]:
        """The photograph, painted; grey pictures count as three equal channels."""
        inputs = {}
        for name in (CONTENT, STYLE):
            picture = as_array(given[name].value, THREE)
            if min(picture.shape[:2]) < SMALLEST:
                raise UserError(f"The {name} of {picture.shape[1]} x {picture.shape[0]} pixels is too small; the "
                                f"shorter side must be at least {SMALLEST}.")
            inputs[name] = np.ascontiguousarray(at_most(picture, int(asked.options["side"])))
        return {"image": Read(restorer(inputs)["image"], given[CONTENT].origin)}


PHOTOS = StyleTransferPhotos()
