"""What detection is tested on: whole fields whose nuclei are outlined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.tasks.base import Cases, Partner, Sample, no_partner
from restore_ml.tasks.cropping import three_channels
from restore_ml.tasks.detection.task import TASK, at_least_one, boxes_of


class DetectionCases(Cases):
    """`plain`: the picture as it is."""

    task = TASK

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """One."""
        return ["plain"]

    def leaves_out(self, picture: Record, degradation: str, settings: Mapping[str, Any]) -> str | None:
        """A field in which nobody has outlined the nuclei."""
        return None if "instances" in picture.arrays else "its nuclei are not outlined"

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """Nothing is drawn. Facts: `objects`, how many there are."""
        if degradation != "plain":
            raise UserError(f"The degradation {degradation!r} of detection is unknown; there is plain.")
        boxes = boxes_of(picture.arrays["instances"])
        target = at_least_one(boxes)
        return Sample({"image": np.ascontiguousarray(three_channels(picture.arrays["image"]))},
                      {"boxes": target, "labels": np.zeros(len(target), np.float32)}, {"objects": len(boxes)})


CASES = DetectionCases()
