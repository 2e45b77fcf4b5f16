"""What restoration is tested on: centre squares of photographs, each with one kind of damage.

Setting: `cases`, the names of kinds (`restore_ml.tasks.restoration.damages`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from restore_ml.data.shards import Record
from restore_ml.seeds import generator
from restore_ml.tasks.base import Cases, Partner, Sample, no_partner
from restore_ml.tasks.cropping import centre_square, resized_to_short_side, three_channels
from restore_ml.tasks.restoration.damages import checked_kind, damage
from restore_ml.tasks.restoration.task import TASK


class RestorationCases(Cases):
    """The setting `cases`."""

    task = TASK
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
        scratched."""
        size, image = self.resolve(settings)["size"], three_channels(picture.arrays["image"])
        if size:
            image = centre_square(resized_to_short_side(image, size), size)
        return damage(image, checked_kind(degradation, "case of restoration"),
                      generator(seed, picture.id, degradation))


CASES = RestorationCases()
