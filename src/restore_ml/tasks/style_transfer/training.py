"""What training sees of style transfer: a crop of a photograph and one of a painting that is drawn for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import augment
from restore_ml.data.shards import Record, Shards
from restore_ml.tasks.base import Partner, Sample, Training, no_partner
from restore_ml.tasks.cropping import at_most, random_square_mirrored, three_channels
from restore_ml.tasks.style_transfer.task import CONTENT, STYLE, TASK


class StyleTransferTraining(Training):
    """Records of both roles are pictures whose shorter side is at most `at_most` pixels (0: as they are), so that a
    crop shows strokes and not a speck of paint."""

    task = TASK
    defaults: ClassVar = {"at_most": 256}

    def records(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> Iterator[Record]:
        """`image`."""
        side = self.resolve(settings)["at_most"]
        for picture in pictures:
            yield Record(picture.id, {"image": at_most(picture.arrays["image"], side)}, picture.facts)

    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
        """A random square of `patch` pixels of each, mirrored left to right in half of the visits, each for itself."""
        pictures = {CONTENT: record.arrays["image"], STYLE: partner(STYLE).arrays["image"]}
        return Sample({name: augment({name: random_square_mirrored(three_channels(picture), run["patch"], rng)},
                                     TASK.arrays, rng, rotate=False)[name] for name, picture in pictures.items()}, {})


TRAINING = StyleTransferTraining()
