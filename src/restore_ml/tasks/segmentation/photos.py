"""A person's field of view, its nuclei outlined and numbered."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.base.errors import UserError
from restore_ml.data.file_kinds import LABELS
from restore_ml.tasks.photos import Annotated, Got
from restore_ml.tasks.protocol import as_rgb
from restore_ml.tasks.segmentation.instances import outlined

if TYPE_CHECKING:
    from restore_ml.method import Method


MOST = 65535
"""The largest number of a label map of 16 bits."""


class SegmentationPhotos(Annotated):
    """The picture as it is, with an outline around each nucleus; and a map of their numbers, 0 the background."""

    finding: ClassVar = Got("labels", LABELS)

    def probes(self, method: Method) -> tuple[str, ...]:
        """The one that there is."""
        return ("plain",)

    def shown(self, inputs: Arrays, output: Arrays) -> np.ndarray:
        """Outlines over the picture."""
        return outlined(as_rgb(inputs["image"]), output["instances"][..., 0])

    def found(self, inputs: Arrays, output: Arrays) -> np.ndarray:
        """H x W x 1 int32. `UserError` for more nuclei than a label map has numbers."""
        instances = output["instances"]
        if instances.max() > MOST:
            raise UserError(f"There are {instances.max()} nuclei in the picture; at most {MOST} can be numbered, so "
                            "cut it.")
        return instances


PHOTOS = SegmentationPhotos()
