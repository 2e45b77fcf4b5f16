"""A person's picture of a small face, eight times as large."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.base.errors import UserError
from restore_ml.data.file_kinds import NUMBERS, Picture, Read
from restore_ml.data.pictures import Refused
from restore_ml.tasks.face_super_resolution.task import SCALE, face
from restore_ml.tasks.photos import THREE, Asked, Given, Got, Photos, Restorer, Way, as_array

if TYPE_CHECKING:
    from restore_ml.method import Method

SMALL = Picture(least=4)
"""Faces of 8 pixels a side are what this is for."""
LARGEST_SIDE = 2048
"""Pixels of a side that are enlarged, by methods that take any size."""


class FacePhotos(Photos):
    """A network of faces has one size (its setting `patch`): the square in the middle is brought to an eighth of it."""

    def probes(self, method: Method) -> tuple[str, ...]:
        """The plain degradation at both sizes."""
        return tuple(f"{size // SCALE}_to_{size}" for size in (64, 128))

    @property
    def ways(self) -> tuple[Way, ...]:  # type: ignore[override]
        """The picture and, where they are known, `attributes`: numbers from -1 to 1 by CelebA's names."""
        return (Way((Given("image", SMALL), Given("attributes", NUMBERS, required=False)), (Got("image", SMALL),)),)

    def answer(self, given: Mapping[str, Read], asked: Asked, restorer: Restorer) -> dict[str, Read]:
        """The face eight times as large; of a network, as large as it makes faces."""
        from restore_ml.data.domains.faces import attributes

        picture, told = given["image"], given.get("attributes")
        try:
            more = {} if told is None else {"attributes": attributes(told.value)}
        except Refused as refused:
            raise UserError(f"The attributes cannot be used: {refused.reason}.") from None
        return {"image": Read(self._enlarged(as_array(picture.value, THREE), more, restorer), picture.origin)}

    def restore(self, picture: np.ndarray, mask: np.ndarray | None, scale: int | None,
                restorer: Restorer) -> np.ndarray:
        """The same without attributes."""
        return self._enlarged(picture, {}, restorer)

    def _enlarged(self, picture: np.ndarray, told: Arrays, restorer: Restorer) -> np.ndarray:
        """`UserError` for a picture that is larger than the result would be, and for what no processor should be asked
        for."""
        size, sides = restorer.method.settings.get("patch"), picture.shape[:2]
        if size is None and max(sides) > LARGEST_SIDE:
            raise UserError(f"The picture of {sides[1]} x {sides[0]} pixels is larger than {LARGEST_SIDE}; cut the "
                            "face out first.")
        if size is not None and min(sides) > size:
            raise UserError(f"The picture of {sides[1]} x {sides[0]} pixels is larger than the face of {size} x {size} "
                            f"that this model makes from {size // SCALE} x {size // SCALE}; it is for very small "
                            "faces, cut closely. Others are enlarged with --task super_resolution.")
        small = picture if size is None else face(picture, size // SCALE)
        return restorer({"lr": np.ascontiguousarray(small), "scale": np.array(SCALE, np.int32), **told})["sr"]

    def factor(self, method: Method, scale: int | None) -> int:
        """Eight."""
        return SCALE

    def remark(self, method: Method, given: Mapping[str, Read]) -> str:
        """That a network was told the mean attributes, where it asks for attributes and got none."""
        if "attributes" not in method.inputs or "attributes" in given:
            return ""
        return ("No attributes were given, so the model was told the mean of its training faces; --with "
                "attributes=FILE.json gives them (docs/serving.md).")

    def shown(self, inputs: Arrays, output: Arrays) -> np.ndarray:
        """`sr` of an output, `hr` of a target."""
        return output["sr"] if "sr" in output else output["hr"]


PHOTOS = FacePhotos()
