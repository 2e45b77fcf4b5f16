"""Detection for other tools: a picture in, a JSON file with boxes, classes and scores out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.data.file_kinds import BOXES
from restore_ml.data.pictures import Refused
from restore_ml.tasks.detection.task import CLASSES, TASK, at_least_one
from restore_ml.tasks.sample_files import SampleFiles, Wanted


class DetectionFiles(SampleFiles):
    """All boxes with their scores from 0 to 1; those of at least a half are the answer."""

    def told(self, inputs: Arrays) -> dict[str, Any]:
        """The names of the classes."""
        return {"classes": [*CLASSES]}

    def wanted(self, inputs: Arrays) -> dict[str, Wanted]:
        """The boxes."""
        return {"boxes": Wanted(BOXES)}

    def output(self, inputs: Arrays, files: Mapping[str, Any]) -> Arrays:
        """Boxes, classes and scores; an empty class is the first one."""
        found = files["boxes"]
        unknown = [name for name in found.classes if name and name not in CLASSES]
        if unknown:
            raise Refused(f"the class {unknown[0]!r}, where the classes are {', '.join(CLASSES)}")
        if len(found.scores) and not 0 <= float(found.scores.min()) <= float(found.scores.max()) <= 1:
            raise Refused("a score that is not between 0 and 1")
        count = max(1, len(found.classes))
        labels, scores = np.zeros(count, np.float32), np.zeros(count, np.float32)
        labels[:len(found.classes)] = [CLASSES.index(name or CLASSES[0]) for name in found.classes]
        scores[:len(found.classes)] = found.scores
        return {"boxes": at_least_one(found.edges), "labels": labels, "scores": scores}


FILES = DetectionFiles(TASK)
