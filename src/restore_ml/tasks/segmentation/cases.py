"""What segmentation is tested on: whole fields of view as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from restore_ml.data.shards import Record
from restore_ml.tasks.base import Cases, Partner, Sample, no_partner
from restore_ml.tasks.cropping import three_channels
from restore_ml.tasks.segmentation.task import TASK


class SegmentationCases(Cases):
    """One degradation, `plain`: none."""

    task = TASK

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """`plain`."""
        return ["plain"]

    def leaves_out(self, picture: Record, degradation: str, settings: Mapping[str, Any]) -> str | None:
        """Refuses fields without a truth."""
        return None if "instances" in picture.arrays else "nobody has outlined its nuclei"

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """The whole field; nothing is drawn. Fact: `nuclei`, how many there are."""
        instances = np.ascontiguousarray(picture.arrays["instances"])
        return Sample({"image": np.ascontiguousarray(three_channels(picture.arrays["image"]))},
                      {"labels": (instances > 0).astype(np.uint8), "instances": instances},
                      {"nuclei": int(instances.max())})


CASES = SegmentationCases()
