"""What feature networks see: random squares of colour pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from restore_ml.arrays import augment
from restore_ml.data.shards import Record, Shards
from restore_ml.tasks.base import Partner, Sample, Training, no_partner
from restore_ml.tasks.cropping import random_square_mirrored
from restore_ml.tasks.representation.task import TASK


class RepresentationTraining(Training):
    """Records are the pictures as prepared."""

    task = TASK

    def records(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> Iterator[Record]:
        """`image`, as prepared."""
        for picture in pictures:
            yield Record(picture.id, {"image": picture.arrays["image"]}, picture.facts)

    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
        """A random square of `patch` pixels, mirrored left to right in half of the visits; smaller pictures are
        mirrored at their edges."""
        square = random_square_mirrored(record.arrays["image"], run["patch"], rng)
        crop = augment({"image": square}, TASK.arrays, rng, rotate=False)["image"]
        return Sample({"image": crop}, {"image": crop})


TRAINING = RepresentationTraining()
