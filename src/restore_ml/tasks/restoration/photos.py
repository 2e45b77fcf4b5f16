"""A person's damaged picture, restored; where it is scratched she may say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.base.errors import UserError
from restore_ml.data.file_kinds import MASK, PICTURE, Read
from restore_ml.tasks.photos import THREE, Asked, Given, Got, Photos, Restorer, Way, as_array
from restore_ml.tasks.restoration.cases import CASES

if TYPE_CHECKING:
    from restore_ml.method import Method


class RestorationPhotos(Photos):
    """The whole picture at its own size."""

    @property
    def ways(self) -> tuple[Way, ...]:  # type: ignore[override]
        """The picture, and `scratches` where somebody has marked them (white where one lies)."""
        return (Way((Given("image", PICTURE), Given("scratches", MASK, required=False, fits="image")),
                    (Got("image", PICTURE),)),)

    def probes(self, method: Method) -> tuple[str, ...]:
        """Whatever the method was made for."""
        return tuple(CASES.defaults["cases"])

    def answer(self, given: Mapping[str, Read], asked: Asked, restorer: Restorer) -> dict[str, Read]:
        """The restored picture; `UserError` for a mask of another size."""
        picture, scratches = given["image"], given.get("scratches")
        return {"image": Read(self.restore(as_array(picture.value, THREE),
                                           None if scratches is None else scratches.value, asked.scale, restorer),
                              picture.origin)}

    def restore(self, picture: np.ndarray, mask: np.ndarray | None, scale: int | None,
                restorer: Restorer) -> np.ndarray:
        """`mask`: the scratches, where they are known."""
        if mask is not None and mask.shape != picture.shape[:2]:
            raise UserError(f"The mask of the scratches is {mask.shape[1]} x {mask.shape[0]}, the picture "
                            f"{picture.shape[1]} x {picture.shape[0]}; they must be of the same size.")
        known = {} if mask is None else {"scratches": (mask != 0).astype(np.uint8)[:, :, None]}
        return restorer({"image": np.ascontiguousarray(picture), **known})["image"]

    def remark(self, method: Method, given: Mapping[str, Read]) -> str:
        """That scratches which nobody marked are taken for part of the picture, by a method that would take a mask."""
        if "scratches" not in method.inputs or "scratches" in given:
            return ""
        return ("No scratches were marked, so the model was told of none; --with scratches=FILE.png (white where one "
                "lies) tells it.")

    def shown(self, inputs: Arrays, output: Arrays) -> np.ndarray:
        """`image`."""
        return output["image"]


PHOTOS = RestorationPhotos()
