"""What somebody may know of a face beside its few pixels: its attributes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from restore_ml.arrays import ArraySpec
from restore_ml.kinds import VECTOR
from restore_ml.tasks.base import OptionalInputs, Sample
from restore_ml.tasks.face_super_resolution.task import ATTRIBUTES


class FaceAttributes(OptionalInputs):
    """`attributes`: 40 float32 in the order of CelebA's list; 1 has it, -1 has it not, 0 unknown."""

    inputs: ClassVar = {"attributes": ArraySpec(VECTOR, ATTRIBUTES, low=-1, high=1)}

    def draw(self, name: str, sample: Sample, degradation: str, rng: np.random.Generator) -> np.ndarray:
        """All that is known of the face, in tests and in training: nothing is drawn."""
        return sample.target["hr_attributes"]


OPTIONAL = FaceAttributes()
