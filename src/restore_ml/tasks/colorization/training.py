"""What training sees of colorization: random squares, and how often each colour occurs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import augment
from restore_ml.data.shards import Record, Shards
from restore_ml.degradations.colour import rgb_to_lab
from restore_ml.tasks.base import Partner, Sample, Training, no_partner
from restore_ml.tasks.colorization.task import TASK, lab_sample
from restore_ml.tasks.cropping import at_most, random_square_mirrored

HISTOGRAM_LIMIT = 110
"""ab are counted in unit bins centred on -110 ... 110; sRGB colours lie inside."""


class ColorizationTraining(Training):
    """Records are the colour pictures; lightness and ab are made of a crop when it is cut."""

    task = TASK
    pools_from: ClassVar = "shards"

    def records(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> Iterator[Record]:
        """`rgb` (uint8) at most 2 x `size` on the short side, so that crops see much the scale of the test pictures."""
        for picture in pictures:
            yield Record(picture.id, {"rgb": _training_picture(picture, settings)}, picture.facts)

    def pools(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> dict[str, list[Record]]:
        """`ab_histogram`: one record with `counts` (221 x 221 float32, whole numbers), how many training pixels have
        rint(a) = row - 110 and rint(b) = column - 110: the raw material of class rebalancing."""
        side = 2 * HISTOGRAM_LIMIT + 1
        counts = np.zeros(side * side, np.int64)
        for picture in pictures:
            ab = rgb_to_lab(_training_picture(picture, settings).astype(np.float32) / 255)[..., 1:]
            bins = np.rint(ab).astype(np.int64).clip(-HISTOGRAM_LIMIT, HISTOGRAM_LIMIT) + HISTOGRAM_LIMIT
            counts += np.bincount((bins[..., 0] * side + bins[..., 1]).ravel(), minlength=side * side)
        record = Record("ab_histogram", {"counts": counts.reshape(side, side).astype(np.float32)})
        return {"ab_histogram": [record]}

    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
        """A random square of `patch` pixels, mirrored left to right in half of the visits (never turned: which way is
        up tells the colour). A picture smaller than the crop is mirrored at its edges."""
        square = random_square_mirrored(record.arrays["rgb"], run["patch"], rng)
        return lab_sample(augment({"rgb": square}, TASK.arrays, rng, rotate=False)["rgb"])


def _training_picture(picture: Record, settings: Mapping[str, Any]) -> np.ndarray:
    return at_most(picture.arrays["image"], 2 * TASK.resolve(settings)["size"])


TRAINING = ColorizationTraining()
