"""Segmentation for other tools: a field in, a label map with a number a nucleus out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.data.file_kinds import LABELS
from restore_ml.tasks.sample_files import SampleFiles, Wanted
from restore_ml.tasks.segmentation.task import TASK


class SegmentationFiles(SampleFiles):
    """A map of one number beside 0 says where nuclei are and not which: touching ones are then parted as those of our
    methods that give no numbers."""

    def wanted(self, inputs: Arrays) -> dict[str, Wanted]:
        """The map."""
        return {"labels": Wanted(LABELS, inputs["image"].shape[:2])}

    def output(self, inputs: Arrays, files: Mapping[str, Any]) -> Arrays:
        """Foreground, and the nuclei where they are numbered."""
        numbers = files["labels"].astype(np.int32)
        labels = {"labels": (numbers > 0).astype(np.uint8)}
        return labels if len(np.unique(numbers[numbers > 0])) == 1 else {**labels, "instances": numbers}


FILES = SegmentationFiles(TASK)
