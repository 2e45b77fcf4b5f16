"""What colorization is tested on: the lightness of colour pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.tasks.base import Cases, Partner, Sample, no_partner
from restore_ml.tasks.colorization.task import TASK, lab_sample
from restore_ml.tasks.cropping import centre_square, resized_to_short_side


class ColorizationCases(Cases):
    """One grey, so that all methods are compared on the same input."""

    task = TASK

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """The one grey that all methods are compared on."""
        self.resolve(settings)
        return ["lab_grey"]

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """Resize the short side to `size` (imresize, uint8), cut the centre square, take its lightness."""
        if degradation != "lab_grey":
            raise UserError(f"The degradation {degradation!r} of colorization is unknown; there is lab_grey.")
        size, rgb = self.resolve(settings)["size"], picture.arrays["image"]
        return lab_sample(centre_square(resized_to_short_side(rgb, size), size) if size else rgb)


CASES = ColorizationCases()
