"""What recognisers see: squares of about the whole face, of training persons alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from restore_ml.arrays import augment
from restore_ml.data.shards import Record, Shards
from restore_ml.degradations.resize import imresize
from restore_ml.seeds import derive
from restore_ml.tasks.base import Partner, Sample, Training, no_partner
from restore_ml.tasks.cropping import centre_square, random_squares, three_channels
from restore_ml.tasks.face_identity.task import TASK

LEAST = 0.88
"""The smallest share of the face's side that a crop has."""


class FaceIdentityTraining(Training):
    """Records are the square in the middle of each picture, and the number of its person."""

    task = TASK

    def records(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> Iterator[Record]:
        """`image` and `person`, a hash of the picture's group: a record depends on its own picture alone."""
        for picture in pictures:
            image = picture.arrays["image"]
            person = derive("person", str(picture.facts.get("group") or picture.id)) % 2**31
            yield Record(picture.id, {"image": centre_square(image, min(image.shape[:2])),
                                      "person": np.array(person, np.int32)}, picture.facts)

    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
        """A random square of 0.88 to 1 of the face's side, resized to `patch` pixels, mirrored half the time."""
        image = record.arrays["image"]
        side = round(len(image) * rng.uniform(LEAST, 1.0))
        crop = random_squares({"image": image}, side, rng)["image"]
        crop = imresize(crop, output_size=(run["patch"], run["patch"]))
        crop = augment({"image": np.ascontiguousarray(three_channels(crop))}, TASK.arrays, rng, rotate=False)["image"]
        return Sample({"image": crop}, {"image": crop, "person": record.arrays["person"]})


TRAINING = FaceIdentityTraining()
