"""A person's grey picture with dabs of colour on it, coloured: its lightness stays as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import rgb_to_lab
from restore_ml.tasks.colorization.photos import STRIP, ColorizationPhotos
from restore_ml.tasks.colorization.task import NEAR_GREY
from restore_ml.tasks.photos import Restorer

if TYPE_CHECKING:
    from restore_ml.method import Method


@dataclass(frozen=True)
class GuidedRestorer(Restorer):
    """A restorer that adds the hints of the picture, at the size of the lightness that it is given."""

    hint: np.ndarray
    hinted: np.ndarray

    def __call__(self, inputs: Arrays, tile: int | None = None, overlap: int = 0) -> Arrays:
        """See `Restorer`."""
        return super().__call__({**inputs, **reduced(self.hint, self.hinted, inputs["L"].shape[:2])}, tile, overlap)


class GuidedColorizationPhotos(ColorizationPhotos):
    """One file holds both: hints are the pixels with some |a| or |b| above 5, painted on the grey picture in a blend
    mode that keeps lightness (`colour` in most programs). A hint of grey cannot be given so."""

    def probes(self, method: Method) -> tuple[str, ...]:
        """The case that ranks."""
        return ("hints_10",)

    def restore(self, picture: np.ndarray, mask: np.ndarray | None, scale: int | None,
                restorer: Restorer) -> np.ndarray:
        """The picture in colour. `UserError` where more of it is coloured than grey (an old sepia print)."""
        height, width = picture.shape[:2]
        hint = np.empty((height, width, 2), np.float32)
        rows = max(1, STRIP // width)
        for top in range(0, height, rows):
            hint[top:top + rows] = rgb_to_lab(picture[top:top + rows].astype(np.float32) / 255)[..., 1:]
        hinted = (np.abs(hint).max(axis=2, keepdims=True) > NEAR_GREY).astype(np.float32)
        if hinted.mean() > 0.5:
            raise UserError("More than half of the picture is coloured. Make it grey first, then paint the hints on it "
                            "in the blend mode that keeps lightness.")
        guided = GuidedRestorer(restorer.method, restorer.model, restorer.seed, restorer.restore, hint * hinted, hinted)
        return super().restore(picture, mask, scale, guided)


def reduced(hint: np.ndarray, hinted: np.ndarray, size: tuple[int, int]) -> Arrays:
    """The hints on a grid of at most their own size: a pixel that holds some is hinted with their mean colour."""
    if hint.shape[:2] == tuple(size):
        return {"hint": hint, "hinted": hinted}
    colour, share = (cv2.resize(value, size[::-1], interpolation=cv2.INTER_AREA) for value in (hint, hinted))
    there = share[..., None] > 0
    mean = np.divide(colour, share[..., None], out=np.zeros_like(colour), where=there)
    return {"hint": mean, "hinted": there.astype(np.float32)}


PHOTOS = GuidedColorizationPhotos()
