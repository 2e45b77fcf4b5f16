"""Faces: pictures of persons, with landmarks, a parsing map and attributes where they are known.

A folder a person; beside `1.png` may lie `1.parsing.png` (labels 0 to 8) and `1.json`, a mapping with `landmarks` (a
list of [x, y] in pixels of the upright picture, (0, 0) being the centre of its upper left pixel) and `attributes` (a
mapping from names of CelebA's list to -1 or 1).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from restore_ml.data import likeness
from restore_ml.data.domain import Maker
from restore_ml.data.face_layouts import LAYOUTS
from restore_ml.data.label_maps import read_labels
from restore_ml.data.person_folders import JSON, PersonFolders, read_annotations
from restore_ml.data.pictures import Refused, read_bytes, read_picture

PARSING = ("background", "hair", "skin", "brows", "eyes", "nose", "upper lip", "inner mouth", "lower lip")
"""The classes of a parsing map, by label; the neck is skin, clothes and glasses are what they cover or background."""
ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes",
    "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns", "Smiling",
    "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace",
    "Wearing_Necktie", "Young")
"""CelebA's forty (Liu et al., ICCV 2015), in the order of its list."""
_PGM = re.compile(rb"P5\s(?:\s|#[^\n]*\n)*(\d+)\s+(\d+)\s+(\d+)\s")


class Faces(PersonFolders):
    """`image`: H x W x C uint8, C = 1 or 3. Optional: `landmarks`, P x 2 float32 (x, y) in pixels, the first five being
    the person's right eye (the left one in the picture), left eye, tip of the nose, right and left corner of the mouth;
    `parsing`, H x W x 1 uint8 labels of `PARSING`; `attributes`, 40 float32 in the order of `ATTRIBUTES`: 1 has it,
    -1 has it not, 0 nothing is known."""

    name = "faces"
    what = "faces"
    counted = ("faces", "persons")
    tags = frozenset(("parsing",))
    layouts = LAYOUTS
    likeness = likeness.Likeness()

    def read(self, path: Path, within: Path | None = None) -> dict[str, np.ndarray]:
        """The picture with its annotations; one that is wrong makes the record unusable."""
        beside = self.beside(path, within)
        image = read_face(path, within)
        arrays = {"image": image}
        if "parsing" in beside:
            arrays["parsing"] = read_labels(beside["parsing"], len(PARSING), image.shape[:2], within)
        if JSON in beside:
            annotations = read_annotations(beside[JSON], ("landmarks", "attributes"), within)
            if "landmarks" in annotations:
                arrays["landmarks"] = landmarks(annotations["landmarks"], image.shape[:2])
            if "attributes" in annotations:
                arrays["attributes"] = attributes(annotations["attributes"])
        return arrays

    def luma(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """The picture's own."""
        return likeness.luma(arrays["image"])

    def from_rgb(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """The picture itself, without annotations."""
        return {"image": picture}

    def embedded(self) -> dict[str, Maker]:
        """ORL's real grey faces, and drawn ones in colour with exact annotations."""
        from restore_ml.data.sources import drawn_faces, orl

        return {**orl.makers(), **drawn_faces.makers()}


def read_face(path: Path, within: Path | None = None) -> np.ndarray:
    """`pictures.read_picture`, but a PGM file that has more bytes than its header says is refused: it went through a
    transfer in text mode, and decoders show it shifted without a word."""
    if path.suffix.lower() == ".pgm":
        data = read_bytes(path, within)
        if header := _PGM.match(data):
            width, height, white = (int(number) for number in header.groups())
            more = len(data) - header.end() - width * height * (1 if white < 256 else 2)
            if more > 1:  # some programs end the file with a line break
                raise Refused(f"{more} bytes more than its header says: damaged by a transfer in text mode")
    return read_picture(path, within)


def landmarks(value: Any, size: tuple[int, ...]) -> np.ndarray:
    """P x 2 float32 from a list of [x, y]; `Refused` for anything else, and for points outside a picture of (H, W)."""
    numbers = isinstance(value, list) and value and all(
        isinstance(point, list) and len(point) == 2 and all(
            isinstance(number, int | float) and not isinstance(number, bool) and np.isfinite(number)
            for number in point) for point in value)
    if not numbers:
        raise Refused("landmarks must be a list of [x, y], numbers in pixels")
    points = np.array(value, np.float32)
    inside = ((points >= -0.5) & (points <= np.array(size[1::-1], np.float32) - np.float32(0.5))).all(axis=1)
    if not inside.all():
        first = int(np.flatnonzero(~inside)[0])
        raise Refused(f"landmark {first + 1} at ({points[first, 0]:g}, {points[first, 1]:g}) lies outside the picture "
                      f"of {size[1]} x {size[0]}")
    return points


def attributes(value: Any) -> np.ndarray:
    """40 float32, -1, 0 or 1, from a mapping by name; `Refused` for another name or value."""
    if not isinstance(value, dict):
        raise Refused("attributes must be a mapping from names to -1 or 1")
    unknown = sorted(set(value) - set(ATTRIBUTES))
    if unknown:
        raise Refused(f"the attribute {unknown[0]!r} is none of CelebA's forty")
    for name, number in value.items():
        if isinstance(number, bool) or number not in (-1, 1):
            raise Refused(f"the attribute {name} is {number!r}; it must be -1 or 1")
    return np.array([value.get(name, 0) for name in ATTRIBUTES], np.float32)


DOMAIN = Faces()
