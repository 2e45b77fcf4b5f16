"""What somebody may know of an old photograph beside its pixels: where it is scratched."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from restore_ml.arrays import ArraySpec
from restore_ml.kinds import MASK
from restore_ml.tasks.base import OptionalInputs, Sample


class Scratches(OptionalInputs):
    """`scratches`: H x W x 1, 1 where a scratch or a speck of dust lies. A person need not give it: then a method that
    names it gets none, which means the same as an empty one."""

    inputs: ClassVar = {"scratches": ArraySpec(MASK, 1, size_of="image")}

    def draw(self, name: str, sample: Sample, degradation: str, rng: np.random.Generator) -> np.ndarray:
        """All scratches as they are; nothing is drawn. Of a picture as it was found nobody has marked any."""
        return sample.target.get("scratches", np.zeros((*sample.inputs["image"].shape[:2], 1), np.uint8))


OPTIONAL = Scratches()
