"""What training sees of inpainting: crops with a hole of one of the kinds that a run names.

Setting: `pool`, how many masks of each kind are drawn once and shared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import cv2
import numpy as np

from restore_ml.arrays import augment
from restore_ml.data.shards import Record, Shards
from restore_ml.degradations import masks
from restore_ml.tasks.base import Partner, Sample, Training, no_partner
from restore_ml.tasks.cropping import at_most, random_squares, three_channels
from restore_ml.tasks.inpainting.holes import DIRECT, OBSERVED, POOLED, checked_name, damage, hole_sample
from restore_ml.tasks.inpainting.task import TASK
from restore_ml.tasks.mask_pool import mask_of_pool, mask_pool

POOL_SIZE = 256
"""Side of the pool's masks where whole pictures are tested (`size` 0)."""
GROUPS = {"irregular": [f"irregular_{k}" for k in range(1, 7)]}
"""Names that a run's setting `masks` may use for several kinds."""


class InpaintingTraining(Training):
    """Holes of `DIRECT` are drawn anew for each sample; those of `POOLED` come from the pool `masks`."""

    task = TASK
    defaults: ClassVar = {"pool": 64}

    def records(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> Iterator[Record]:
        """Each picture in 3 channels, made smaller to a shorter side of 2 `size` where it is larger."""
        side = 2 * self.resolve(settings)["size"]
        for picture in pictures:
            yield Record(picture.id, {"image": at_most(three_channels(picture.arrays["image"]), side)}, picture.facts)

    def pools(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> dict[str, list[Record]]:
        """`masks`: `pool` masks of each kind in `POOLED`, `size` x `size` x 1; facts `kind` and `ratio`."""
        resolved = self.resolve(settings)
        size = resolved["size"] or POOL_SIZE
        return {"masks": mask_pool(sorted(POOLED), resolved["pool"], seed,
                                   lambda kind, rng: POOLED[kind](size, size, rng))}

    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
        """A flipped crop of side `patch` with a hole of one of the kinds in the run's setting `masks`.

        Each name in `masks` is drawn equally often, and a group's kinds share what falls to it; a name may stand there
        twice. `overlap` (optional, pixels): how far a centre hole stays within the centre square. A mask of the pool is
        flipped and resized to the patch with the nearest neighbour.
        """
        square = random_squares({"image": record.arrays["image"]}, run["patch"], rng)
        image = augment(square, TASK.arrays, rng, rotate=False)["image"]
        names = run.get("masks") or ["irregular"]
        name = names[int(rng.integers(len(names)))]
        kinds = GROUPS.get(name, [name])
        kind = checked_name(kinds[int(rng.integers(len(kinds)))], (*DIRECT, *POOLED, *OBSERVED),
                            "kind of masks in a run's setting `masks`")
        if kind not in POOLED:
            return damage(image, kind, rng, run.get("overlap", 0))
        mask = masks.flip(mask_of_pool(pools["masks"], len(POOLED), kind, rng)[..., 0], rng)
        fitted = cv2.resize(mask, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_NEAREST) > 0
        return hole_sample(image, fitted.astype(np.uint8), kind)


TRAINING = InpaintingTraining()
