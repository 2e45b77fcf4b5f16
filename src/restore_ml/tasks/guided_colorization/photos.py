"""A person's grey picture with dabs of colour on it or points beside it, coloured: its lightness stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.base.errors import UserError
from restore_ml.data.file_kinds import PICTURE, POINTS, Points, Read
from restore_ml.degradations.colour import rgb_to_lab
from restore_ml.tasks.colorization.photos import STRIP, ColorizationPhotos
from restore_ml.tasks.colorization.task import NEAR_GREY
from restore_ml.tasks.photos import THREE, Asked, Given, Got, Restorer, Way, as_array

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
    """One file may hold both: hints are the pixels with some |a| or |b| above 5, painted on the grey picture in a blend
    mode that keeps lightness (`colour` in most programs). A hint of grey cannot be given so, but as a
    point: `points` colour a pixel each, also one that is dabbed; of their colours a and b count."""

    @property
    def ways(self) -> tuple[Way, ...]:  # type: ignore[override]
        """The picture and, where there are some, `points` with colours."""
        return (Way((Given("image", PICTURE), Given("points", POINTS, required=False, fits="image")),
                    (Got("image", PICTURE),)),)

    def answer(self, given: Mapping[str, Read], asked: Asked, restorer: Restorer) -> dict[str, Read]:
        """The picture in colour. `UserError` for points without colours."""
        picture, points = given["image"], given.get("points")
        if points is not None and points.value.colours is None:
            raise UserError('The points have no colours; write {"points": [{"x": 3, "y": 5, "colour": [255, 0, 0]}]}.')
        coloured = self._coloured(as_array(picture.value, THREE), None if points is None else points.value, restorer)
        return {"image": Read(coloured, picture.origin)}

    def probes(self, method: Method) -> tuple[str, ...]:
        """The case that ranks."""
        return ("hints_10",)

    def remark(self, method: Method, given: Mapping[str, Read]) -> str:
        """Nothing: colours in the picture are hints, and a print in one tone is refused."""
        return ""

    def restore(self, picture: np.ndarray, mask: np.ndarray | None, scale: int | None,
                restorer: Restorer) -> np.ndarray:
        """The picture in colour. `UserError` where more of it is coloured than grey (an old sepia print)."""
        return self._coloured(picture, None, restorer)

    def _coloured(self, picture: np.ndarray, points: Points | None, restorer: Restorer) -> np.ndarray:
        height, width = picture.shape[:2]
        hint = np.empty((height, width, 2), np.float32)
        rows = max(1, STRIP // width)
        for top in range(0, height, rows):
            hint[top:top + rows] = rgb_to_lab(picture[top:top + rows].astype(np.float32) / 255)[..., 1:]
        hinted = (np.abs(hint).max(axis=2, keepdims=True) > NEAR_GREY).astype(np.float32)
        if hinted.mean() > 0.5:
            raise UserError("More than half of the picture is coloured. Make it grey first, then paint the hints on it "
                            "in the blend mode that keeps lightness.")
        if points is not None and points.colours is not None:
            columns, rows_of = np.floor(points.places.astype(np.float64) + 0.5).astype(np.int64).T
            hint[rows_of, columns] = rgb_to_lab(points.colours[None].astype(np.float32) / 255)[0, :, 1:]
            hinted[rows_of, columns] = 1
        guided = GuidedRestorer(restorer.method, restorer.model, restorer.seed, restorer.restore, hint * hinted, hinted)
        return super().restore(picture, None, None, guided)


def reduced(hint: np.ndarray, hinted: np.ndarray, size: tuple[int, int]) -> Arrays:
    """The hints on a grid of at most their own size: a pixel that holds some is hinted with their mean colour."""
    if hint.shape[:2] == tuple(size):
        return {"hint": hint, "hinted": hinted}
    colour, share = (cv2.resize(value, size[::-1], interpolation=cv2.INTER_AREA) for value in (hint, hinted))
    there = share[..., None] > 0
    mean = np.divide(colour, share[..., None], out=np.zeros_like(colour), where=there)
    return {"hint": mean, "hinted": there.astype(np.float32)}


PHOTOS = GuidedColorizationPhotos()
