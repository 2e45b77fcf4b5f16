"""Drawings: photos of persons with a sketch of each, with a paper-cut and a parsing map where there are any.

A folder a person; beside the photo `1.png` lies `1.sketch.png` (any format), and perhaps `1.papercut.png` and
`1.parsing.png` (labels 0 to 8, the classes of `faces.PARSING`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from restore_ml.data import likeness
from restore_ml.data.domain import Maker
from restore_ml.data.domains.faces import PARSING
from restore_ml.data.drawing_layouts import LAYOUTS
from restore_ml.data.label_maps import read_labels
from restore_ml.data.person_folders import PersonFolders
from restore_ml.data.pictures import Refused, read_picture


class Drawings(PersonFolders):
    """`photo`, `sketch`: H x W x C uint8, C = 1 or 3, of one size but not always of one C. Optional: `papercut`,
    H x W x C uint8; `parsing`, H x W x 1 uint8 labels of `faces.PARSING`, of the photo."""

    name = "drawings"
    what = "drawings"
    counted = ("drawings", "persons")
    main = "photo"
    tags = frozenset(("sketch", "papercut", "parsing"))
    layouts = LAYOUTS
    likeness = likeness.Likeness()

    def read(self, path: Path, within: Path | None = None) -> dict[str, np.ndarray]:
        """The photo and what was drawn of it, of one size."""
        beside = self.beside(path, within)
        photo = read_picture(path, within)
        if "sketch" not in beside:
            raise Refused("a photo without its sketch")
        arrays = {"photo": photo}
        for tag in sorted(beside.keys() & {"sketch", "papercut"}):
            try:
                arrays[tag] = read_picture(beside[tag], within)
            except Refused as error:
                raise Refused(f"its {tag}: {error.reason}") from None
            if arrays[tag].shape[:2] != photo.shape[:2]:
                height, width = arrays[tag].shape[:2]
                raise Refused(f"its {tag} is {width} x {height}, the photo {photo.shape[1]} x {photo.shape[0]}")
        if "parsing" in beside:
            arrays["parsing"] = read_labels(beside["parsing"], len(PARSING), photo.shape[:2], within)
        return arrays

    def luma(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """The photo's."""
        return likeness.luma(arrays["photo"])

    def from_rgb(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """The picture, with the pencil sketch of it that lies on it."""
        from restore_ml.data.sources import face_sketches

        return {"photo": picture, "sketch": face_sketches.levels(face_sketches.pencil(likeness.luma(picture) / 255))}

    def embedded(self) -> dict[str, Maker]:
        """Drawings rendered from ORL's faces and from drawn ones, each person on the side that `faces` has it."""
        from restore_ml.data.sources import face_sketches

        return face_sketches.makers()


DOMAIN = Drawings()
