"""What may be known of a scene beside its bands: where the sun stood."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from restore_ml.arrays import ArraySpec
from restore_ml.kinds import VECTOR
from restore_ml.tasks.base import OptionalInputs, Sample


class SunAzimuth(OptionalInputs):
    """`azimuth`: one number, the degrees from north over east at which the sun stands."""

    inputs: ClassVar = {"azimuth": ArraySpec(VECTOR, 1, low=0, high=360)}

    def draw(self, name: str, sample: Sample, degradation: str, rng: np.random.Generator) -> np.ndarray:
        """The azimuth by which the sample's shadows were cast; nothing is drawn."""
        return np.array([sample.facts["azimuth"]], np.float32)


OPTIONAL = SunAzimuth()
