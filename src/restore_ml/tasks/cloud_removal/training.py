"""What training sees of cloud removal: crops of both dates under a crop of a simulated cloud or gap.

Settings: `pool` (masks of each kind) and `size` (their side).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import augment, text
from restore_ml.base.errors import UserError
from restore_ml.data.bands import FOUR
from restore_ml.data.scenes import BAND_BYTES
from restore_ml.data.shards import Record, Shards
from restore_ml.tasks.base import Partner, Sample, Training, no_partner
from restore_ml.tasks.cloud_removal.gaps import hidden, seen
from restore_ml.tasks.cloud_removal.task import TASK
from restore_ml.tasks.cropping import random_squares
from restore_ml.tasks.mask_pool import mask_of_pool, mask_pool

KINDS = ("cloud_05", "cloud_10", "cloud_20", "cloud_40", "stripes")
"""The kinds of masks in the training pool."""
BANDS = 4
"""Of the scenes that are learnt from where their bands are named: blue, green, red and near infrared. Others (Landsat
without blue and green) are not, since what is learnt stacks the windows of all scenes."""


class CloudRemovalTraining(Training):
    """Records are the scenes; the pool `masks` has `pool` masks of each of `KINDS`."""

    task = TASK
    defaults: ClassVar = {"size": 128, "pool": 32}

    def records(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> Iterator[Record]:
        """The two dates of each scene as they are; none of one that names other bands than the four."""
        for picture in pictures:
            if "bands" in picture.arrays and picture.arrays["target"].shape[2] != BANDS:
                continue
            yield Record(picture.id, {key: picture.arrays[key] for key in ("target", "reference")}, picture.facts)

    def pools(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> dict[str, list[Record]]:
        """`masks`: `pool` masks of each kind, `size` x `size` x 1; facts `kind` and `ratio`."""
        resolved = self.resolve(settings)
        size = resolved["size"]
        return {"masks": mask_pool(KINDS, resolved["pool"], seed, lambda kind, rng: hidden(size, size, kind, rng))}

    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
        """A turned crop of side `patch` of both dates under a crop of a pool mask of a kind in the run's `masks`."""
        kinds = list(run.get("masks") or KINDS)
        kind = kinds[int(rng.integers(len(kinds)))]
        try:
            mask = mask_of_pool(pools["masks"], len(KINDS), kind, rng)
        except KeyError:
            raise UserError(f"There are no training masks {kind!r}; a run's setting `masks` takes {', '.join(KINDS)}."
                            ) from None
        both = random_squares({name: record.arrays[name] for name in ("target", "reference")}, run["patch"], rng)
        cut = augment({**both, **random_squares({"mask": mask}, run["patch"], rng)}, TASK.arrays, rng)
        return Sample({"target": seen(cut["target"], cut["mask"][..., 0], kind, rng), "reference": cut["reference"],
                       "mask": cut["mask"], "bands": text(" ".join(FOUR), BAND_BYTES)}, {"truth": cut["target"]},
                      {"kind": kind})


TRAINING = CloudRemovalTraining()
