"""What classification is tested on: each picture with each class set that has an answer for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from restore_ml.arrays import words
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.registry import nearest
from restore_ml.tasks.base import Cases, Partner, Sample, no_partner
from restore_ml.tasks.classification.task import NO_CLASS, TASK, names, number_of
from restore_ml.tasks.cropping import three_channels


class ClassificationCases(Cases):
    """A degradation is a class set; the picture is not changed."""

    task = TASK

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """The class sets, in the order of the setting."""
        return list(self.resolve(settings)["class_sets"])

    def leaves_out(self, picture: Record, degradation: str, settings: Mapping[str, Any]) -> str | None:
        """A picture whose class the class set does not have."""
        label = words(picture.arrays["label"])
        known = number_of(label, self._classes(degradation, settings)) != NO_CLASS
        return None if known else f"its class {label!r} is in no class set that it could be asked of"

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """Nothing is drawn. Facts: `class`, the name of its class."""
        classes = self._classes(degradation, settings)
        label = words(picture.arrays["label"])
        image = np.ascontiguousarray(three_channels(picture.arrays["image"]))
        return Sample({"image": image, "classes": names(classes)},
                      {"label": np.array(number_of(label, classes), np.int32)}, {"class": label})

    def _classes(self, degradation: str, settings: Mapping[str, Any]) -> list[str]:
        sets = self.resolve(settings)["class_sets"]
        if degradation not in sets:
            raise UserError(f"There is no class set {degradation!r}; there are {', '.join(sets)}."
                            f"{nearest(degradation, sets)}")
        return list(sets[degradation])


CASES = ClassificationCases()
