"""What is tested of face photos and sketches: both directions, whole pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.tasks.base import Cases, Partner, Sample, no_partner
from restore_ml.tasks.sketch_photo.task import DIRECTIONS, TASK, translated


class SketchPhotoCases(Cases):
    """`photo_to_sketch` and `sketch_to_photo`."""

    task = TASK

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """In the order of the setting."""
        return list(self.resolve(settings)["directions"])

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """The photo and its sketch; nothing is drawn."""
        if degradation not in DIRECTIONS:
            raise UserError(f"The degradation {degradation!r} of sketch_photo is unknown; there are "
                            f"{' and '.join(DIRECTIONS)}.")
        return translated(picture.arrays, DIRECTIONS.index(degradation))


CASES = SketchPhotoCases()
