"""What inpainting is tested on: centre squares of photographs with one hole each.

Setting: `cases`, the names of holes (`restore_ml.tasks.inpainting.holes`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from restore_ml.data.shards import Record
from restore_ml.seeds import generator
from restore_ml.tasks.base import Cases, Partner, Sample, no_partner
from restore_ml.tasks.cropping import centre_square, resized_to_short_side, three_channels
from restore_ml.tasks.inpainting.holes import DIRECT, OBSERVED, POOLED, checked_name, damage
from restore_ml.tasks.inpainting.task import TASK


class InpaintingCases(Cases):
    """The setting `cases`."""

    task = TASK
    defaults: ClassVar = {"cases": [
        "centre", "random_rect", "strokes", *(f"irregular_{k}" for k in range(1, 7)), "text", "scratches", "watermark",
        "border"]}

    def check(self, settings: Mapping[str, Any]) -> None:
        """Every case must be a degradation that there is."""
        for name in settings["cases"]:
            checked_name(name, (*DIRECT, *POOLED, *OBSERVED), "case of inpainting")

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """The setting `cases`; an unknown name is a `UserError`."""
        return list(self.resolve(settings)["cases"])

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """The picture resized to the shorter side `size`, its centre square, and one hole."""
        size, image = self.resolve(settings)["size"], three_channels(picture.arrays["image"])
        if size:
            image = centre_square(resized_to_short_side(image, size), size)
        return damage(image, degradation, generator(seed, picture.id, degradation))


CASES = InpaintingCases()
