"""What restoration is tested on: centre squares of photographs, each with one kind of damage.

Setting: `cases`, the names of kinds (`restore_ml.tasks.restoration.damages`). Beside them pictures that are damaged as
they were found are restored, whose truth nobody knows (`AS_FOUND`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.data.shards import Record
from restore_ml.seeds import generator
from restore_ml.tasks.base import Cases, Partner, Sample, no_partner
from restore_ml.tasks.cropping import at_most, centre_square, resized_to_short_side, three_channels
from restore_ml.tasks.restoration.damages import AS_FOUND, checked_kind, damage
from restore_ml.tasks.restoration.task import TASK


class RestorationCases(Cases):
    """The setting `cases`."""

    task = TASK
    without_truth = (AS_FOUND,)
    defaults: ClassVar = {"cases": ["old_photo", "haze", "rain", "noise_25", "blur", "watermark"]}

    def check(self, settings: Mapping[str, Any]) -> None:
        """Every case must be a kind of damage that there is."""
        for name in settings["cases"]:
            checked_kind(name, "case of restoration")

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """The setting `cases`; an unknown name is a `UserError`."""
        return list(self.resolve(settings)["cases"])

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """The picture resized to the shorter side `size`, its centre square, damaged; every old photograph is
        scratched. One as it was found stays whole, made smaller only to a shorter side of 2 `size`, which is how much
        of a picture training sees at the most."""
        size, image = self.resolve(settings)["size"], three_channels(picture.arrays["image"])
        if degradation == AS_FOUND:
            return Sample({"image": np.ascontiguousarray(at_most(image, 2 * size))}, {}, {"kind": AS_FOUND})
        if size:
            image = centre_square(resized_to_short_side(image, size), size)
        return damage(image, checked_kind(degradation, "case of restoration"),
                      generator(seed, picture.id, degradation))


CASES = RestorationCases()
