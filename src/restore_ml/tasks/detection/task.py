"""Detection: a picture in, boxes around objects with their classes and scores out.

The objects are nuclei, whose boxes come from their outlines. Inputs: `image` (H x W x 3 uint8). Target: `boxes` and
`labels`, the class of each box, a place in CLASSES. Output: `boxes`, `labels` and `scores` from 0 to 1; a method says
all that it sees with a score, and what it answers with is what has at least THRESHOLD. A row of zeros is no box.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import Arrays, ArraySpec
from restore_ml.kinds import BOXES, PICTURE, VECTOR
from restore_ml.tasks.base import Task

CLASSES = ("nucleus",)
THRESHOLD = 0.5
"""The score from which on a box counts as an answer."""
SMALLEST = 32
LEAST_SIDE = 3
"""Pixels: what is left of an object at an edge, narrower than this, is no object."""


class Detection(Task):
    """See the module's docstring."""

    name = "detection"
    roles: ClassVar = {"field": "nuclei"}
    inputs: ClassVar = {"image": ArraySpec(PICTURE, 3)}
    target: ClassVar = {"boxes": ArraySpec(BOXES, 0, size_of="image"), "labels": ArraySpec(VECTOR, 0, low=0)}
    output: ClassVar = {"boxes": ArraySpec(BOXES, 0, size_of="image"), "labels": ArraySpec(VECTOR, 0, low=0),
                        "scores": ArraySpec(VECTOR, 0, low=0, high=1)}

    def accepts(self, picture: np.ndarray, settings: Mapping[str, Any]) -> str | None:
        """Refuses pictures with a side below 32 pixels."""
        return f"a side is below {SMALLEST} pixels" if min(picture.shape[:2]) < SMALLEST else None

    def compose(self, inputs: Arrays, output: Arrays) -> Arrays:
        """Boxes end at the picture's edges; rows without a box are left out (one of zeros stays where none is left)."""
        height, width = inputs["image"].shape[:2]
        boxes = within(output["boxes"], width, height)
        real = np.flatnonzero(boxes.any(axis=1))
        kept = real if len(real) else np.zeros(1, np.int64)
        scores = np.where(boxes.any(axis=1), output["scores"], np.float32(0))
        return {"boxes": boxes[kept], "labels": output["labels"][kept], "scores": scores[kept]}


def within(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """The boxes (B x 4) cut at the edges of a picture; what has no area there becomes a row of zeros."""
    cut = np.clip(boxes, 0, np.array([width, height, width, height], boxes.dtype))
    empty = (cut[:, 2] <= cut[:, 0]) | (cut[:, 3] <= cut[:, 1])
    return np.where(empty[:, None], boxes.dtype.type(0), cut)


def boxes_of(instances: np.ndarray) -> np.ndarray:
    """The box of each numbered object of H x W x 1 int32 in the order of the numbers, B x 4 float32, without slivers.

    >>> boxes_of(np.pad(np.ones((4, 5, 1), np.int32), ((2, 0), (3, 0), (0, 0)))).tolist()
    [[3.0, 2.0, 8.0, 6.0]]
    """
    from scipy.ndimage import find_objects

    found = [place for place in find_objects(instances[..., 0]) if place is not None]
    rows = [(x.start, y.start, x.stop, y.stop) for y, x in found
            if min(x.stop - x.start, y.stop - y.start) >= LEAST_SIDE]
    return np.array(rows, np.float32).reshape(-1, 4)


def at_least_one(boxes: np.ndarray) -> np.ndarray:
    """The boxes, or a row of zeros where there is none."""
    return boxes if len(boxes) else np.zeros((1, 4), np.float32)


TASK = Detection()
