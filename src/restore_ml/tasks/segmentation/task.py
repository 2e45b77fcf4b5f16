"""Segmentation: a field of view under a microscope in, a map of its nuclei out.

Input: `image` (H x W x 3 uint8; grey fields have three equal channels). Target: `labels` (0 background, 1 nucleus) and
`instances` (0 background, 1 to n each a nucleus). Output: the same two. A method that gives no instances gets them from
its labels, by a watershed on the distance to the background (`restore_ml.tasks.segmentation.instances`), after tiles
have been put together. Source: the method cards, 1.11 and 2.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import Arrays, ArraySpec
from restore_ml.kinds import INSTANCES, LABELS, PICTURE
from restore_ml.tasks.base import Task
from restore_ml.tasks.segmentation.instances import split_touching

CLASSES = ("background", "nucleus")
SMALLEST = 32


class Segmentation(Task):
    """See the module's docstring."""

    name = "segmentation"
    roles: ClassVar = {"field": "nuclei"}
    inputs: ClassVar = {"image": ArraySpec(PICTURE, 3)}
    target: ClassVar = {"labels": ArraySpec(LABELS, len(CLASSES), high=1, size_of="image"),
                        "instances": ArraySpec(INSTANCES, size_of="image")}
    output: ClassVar = {"labels": ArraySpec(LABELS, len(CLASSES), high=1, size_of="image"),
                        "instances": ArraySpec(INSTANCES, size_of="image")}
    optional_output: ClassVar = ("instances",)

    def accepts(self, picture: np.ndarray, settings: Mapping[str, Any]) -> str | None:
        """Refuses fields with a side below 32 pixels."""
        return f"a side is below {SMALLEST} pixels" if min(picture.shape[:2]) < SMALLEST else None

    def compose(self, inputs: Arrays, output: Arrays) -> Arrays:
        """Instances of the labels where the method gave none."""
        if "instances" in output:
            return output
        return {**output, "instances": split_touching(output["labels"][..., 0] > 0)[..., None]}


TASK = Segmentation()
