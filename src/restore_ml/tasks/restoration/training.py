"""What training sees of restoration: crops of pictures with damage of one of the kinds that a run names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from restore_ml.arrays import augment
from restore_ml.data.shards import Record, Shards
from restore_ml.tasks.base import Partner, Sample, Training, no_partner
from restore_ml.tasks.cropping import at_most, random_squares, three_channels
from restore_ml.tasks.restoration.damages import checked_kind, damage
from restore_ml.tasks.restoration.task import TASK

ALL_KINDS = ("old_photo", "haze", "rain", "noise", "blur", "watermark")
"""What a run learns that names no `kinds`."""
SCRATCHED = 0.5
"""The share of old photographs with scratches in training, as in the release of Wan et al. (CVPR 2020)."""


class RestorationTraining(Training):
    """Damage is drawn anew for each sample."""

    task = TASK

    def records(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> Iterator[Record]:
        """Each picture in 3 channels, made smaller to a shorter side of 2 `size` where it is larger; the fact `size` is
        the setting."""
        size = self.resolve(settings)["size"]
        for picture in pictures:
            yield Record(picture.id, {"image": at_most(three_channels(picture.arrays["image"]), 2 * size)},
                         {**picture.facts, "size": size})

    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
        """A crop of side `patch` of a mirrored and turned square with damage of one of the kinds in the run's setting
        `kinds`, each drawn equally often; a name may stand there twice.

        The square has the side `size`, as those that are tested, and is damaged before it is cut: rain, blur and haze
        have lengths in proportion to what they lie on.
        """
        patch = run["patch"]
        square = random_squares({"image": record.arrays["image"]}, max(patch, record.facts["size"]), rng)
        image = augment(square, TASK.arrays, rng)["image"]
        kinds = run.get("kinds") or ALL_KINDS
        kind = checked_kind(kinds[int(rng.integers(len(kinds)))], "kind of damage in a run's setting `kinds`")
        whole = damage(image, kind, rng, SCRATCHED)
        cut = random_squares({**whole.inputs, **{f"target {name}": value for name, value in whole.target.items()}},
                             patch, rng)
        return Sample({"image": cut["image"]}, {name: cut[f"target {name}"] for name in whole.target}, whole.facts)


TRAINING = RestorationTraining()
