"""A person's picture with a mask of hers, filled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.base.errors import UserError
from restore_ml.tasks.photos import Photos, Restorer

if TYPE_CHECKING:
    from restore_ml.method import Method

FILL_TILE, FILL_OVERLAP = 1024, 128
"""Networks that fill holes at the picture's own size (`multiple` above 1) and name no tile get this one here, so that
memory does not grow with the picture."""
WHOLE_PIXELS = 4_000_000
"""Networks with instance normalisation fill windows of up to so many pixels in one piece: tiles with statistics of
their own leave seams (of up to 106 grey levels in edge_connect, of 1 when they share the whole window's)."""


class InpaintingPhotos(Photos):
    """bf16 wins little (1.1 times) and costs 0.013 dB on a photograph (partial_conv)."""

    takes_mask = True

    def probes(self, method: Method) -> tuple[str, ...]:
        """An irregular hole, or the centre for networks made for that."""
        return ("irregular_3", "centre")

    def restore(self, picture: np.ndarray, mask: np.ndarray | None, scale: int | None,
                restorer: Restorer) -> np.ndarray:
        """The picture with what the mask marks filled, all else kept bit for bit."""
        if mask is None:
            raise UserError("Inpainting needs a mask: give --mask with a picture of the same size, white where to "
                            "fill.")
        if mask.shape != picture.shape[:2]:
            raise UserError(f"The mask is {mask.shape[1]} x {mask.shape[0]}, the picture {picture.shape[1]} x "
                            f"{picture.shape[0]}; they must be of the same size.")
        hole = (mask != 0).astype(np.uint8)[:, :, None]
        if hole.all():
            raise UserError("The mask covers the whole picture; nothing is known from which to fill it.")
        if not hole.any():
            raise UserError("The mask marks nothing; there is nothing to fill.")
        method, model = restorer.method, restorer.model
        sized = bool(model.arrays) and not method.trains  # what was fitted may belong to the whole picture
        if max(hole.shape) <= FILL_TILE or method.multiple == 1 or method.tile is not None or sized:
            seen = picture if method.sees_under_mask else picture * (1 - hole)
            return restorer({"image": seen, "mask": hole})["image"]
        return _large(picture, hole, restorer)

    def shown(self, inputs: Arrays, output: Arrays) -> np.ndarray:
        """`image`."""
        return output["image"]


def _large(picture: np.ndarray, hole: np.ndarray, restorer: Restorer) -> np.ndarray:
    """Tiled (see `WHOLE_PIXELS`), and only where there are holes: their bounding box with `FILL_TILE` / 2 around it."""
    window = tuple(slice(max(0, places[0] - FILL_TILE // 2), places[-1] + 1 + FILL_TILE // 2)
                   for places in (np.flatnonzero(hole.any(axis=(1, 2))), np.flatnonzero(hole.any(axis=(0, 2)))))
    inputs = {"image": picture[window] * (1 - hole[window]), "mask": hole[window]}
    tiled = inputs["mask"].size > WHOLE_PIXELS or not restorer.sees_the_whole
    filled = picture.copy()
    filled[window] = restorer(inputs, FILL_TILE if tiled else None, FILL_OVERLAP)["image"]
    return filled


PHOTOS = InpaintingPhotos()
