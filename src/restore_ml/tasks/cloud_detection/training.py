"""What training sees of cloud detection: crops of scenes under simulated clouds.

No method learns from it yet: those that there are go by rules that others have found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import augment, text, words
from restore_ml.data.bands import LAND, names_of, places, whole
from restore_ml.data.scenes import BAND_BYTES
from restore_ml.data.shards import Record, Shards
from restore_ml.seeds import generator
from restore_ml.tasks.base import Partner, Sample, Training, no_partner
from restore_ml.tasks.cloud_detection.clouding import clouded, ground, painted
from restore_ml.tasks.cloud_detection.task import TASK
from restore_ml.tasks.cropping import random_squares

KINDS = ("thick_20", "thin_20", "thick_20_shadow", "thin_20_shadow")
"""Drawn where the run's setting `clouds` names none."""


class CloudDetectionTraining(Training):
    """Records are the scenes that have the six bands `LAND`, in these bands and this order."""

    task = TASK
    defaults: ClassVar = {}

    def records(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> Iterator[Record]:
        """`target` and `bands`, what clouds are laid over."""
        for picture in pictures:
            names = names_of(picture.arrays, whole(picture.arrays, "target").shape[2])
            if not painted(picture) and places(names, LAND) is None:
                continue
            scene, names = ground(picture, generator(seed, picture.id, "ground"))
            kept = places(names, LAND)
            yield Record(picture.id, {"target": np.ascontiguousarray(scene[..., kept]),
                                      "bands": text(" ".join(LAND), BAND_BYTES)}, picture.facts)

    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
        """A turned crop of side `patch` under clouds of a kind in the run's `clouds` (see `clouding.clouded`)."""
        kinds = list(run.get("clouds") or KINDS)
        kind = kinds[int(rng.integers(len(kinds)))]
        cut = random_squares({"target": record.arrays["target"]}, run["patch"], rng)
        turned = augment(cut, TASK.arrays, rng)["target"]
        return clouded(turned, tuple(words(record.arrays["bands"]).split()), kind, rng)


TRAINING = CloudDetectionTraining()
