"""What training sees of classification: pictures of the run's class set as squares, distorted where the run asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import cv2
import numpy as np

from restore_ml.arrays import words
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record, Shards
from restore_ml.tasks.base import Partner, Sample, Training, no_partner
from restore_ml.tasks.classification.task import NO_CLASS, TASK, names, number_of
from restore_ml.tasks.cropping import three_channels
from restore_ml.tasks.squares import square

SHIFT, SCALE, SQUEEZE, SHEAR = 0.07, 0.1, 0.1, 0.2
"""The most that a distortion of strength 1 moves a picture (of its side), makes it larger or smaller, makes it wider
and lower or the reverse, and slants it (columns a row)."""


class ClassificationTraining(Training):
    """The pictures as they are, and of each class set a pool of those that it asks about."""

    task = TASK
    pools_from: ClassVar = "pictures"

    def records(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> Iterator[Record]:
        """`image`, and for each class set `number_<set>`, the picture's class in it (NO_CLASS: none)."""
        sets = self.resolve(settings)["class_sets"]
        for picture in pictures:
            label = words(picture.arrays["label"])
            numbers = {f"number_{name}": np.array(number_of(label, classes), np.int32)
                       for name, classes in sets.items()}
            yield Record(picture.id, {"image": picture.arrays["image"], **numbers}, picture.facts)

    def pools(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> dict[str, list[Record]]:
        """By class set, its pictures: `image`, `number` (of its class) and `classes` (the names of all)."""
        pools: dict[str, list[Record]] = {}
        sets = self.resolve(settings)["class_sets"]
        for picture in pictures:
            label = words(picture.arrays["label"])
            for name, classes in sets.items():
                number = number_of(label, classes)
                if number != NO_CLASS:
                    arrays = {"image": picture.arrays["image"], "number": np.array(number, np.int32),
                              "classes": names(classes)}
                    pools.setdefault(name, []).append(Record(picture.id, arrays))
        return pools

    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
        """The picture as a square of `patch` pixels, distorted with the strength `distort` of the run (0: not at all).

        Where its class is not in the run's `class_set`, one of that set takes its place. Nothing is mirrored: a
        mirrored digit is none.
        """
        name = run["class_set"]
        pool = pools.get(name)
        if pool is None:
            raise UserError(f"There is no training picture of the class set {name!r}; add some with `restore-ml data "
                            f"add --domain labelled`, or name another one. There are {', '.join(pools) or 'none'}.")
        number, image = record.arrays.get(f"number_{name}"), record.arrays["image"]
        if number is None or number == NO_CLASS:
            other = pool.arrays(int(rng.integers(len(pool))))
            number, image = other["number"], other["image"]
        shown = square(distorted(image, run.get("distort", 0.0), rng), run["patch"])
        return Sample({"image": np.ascontiguousarray(three_channels(shown)), "classes": _classes_of(pool)},
                      {"label": np.array(number, np.int32)})


@lru_cache(maxsize=8)
def _classes_of(pool: Shards) -> np.ndarray:
    """The names of a pool's class set, read once."""
    return np.array(pool.arrays(0)["classes"])


def distorted(picture: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A planar affine distortion as LeCun et al. (1998, III.B) name them: moved, scaled, squeezed and slanted to the
    side, each uniformly up to `strength` times its largest; H x W x C uint8, its last pixels go on beyond its edges.

    reading: the largest values are ours, the paper has none.
    """
    if not strength:
        return picture
    height, width = picture.shape[:2]
    right, down, scale, squeeze, shear = strength * rng.uniform(-1, 1, 5)
    wide, high = (1 + SCALE * scale) * (1 + SQUEEZE * squeeze), (1 + SCALE * scale) / (1 + SQUEEZE * squeeze)
    turn = np.array([[wide, SHEAR * shear], [0, high]])
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    offset = centre - turn @ centre + SHIFT * np.array([right * width, down * height])
    moved = cv2.warpAffine(np.ascontiguousarray(picture), np.column_stack([turn, offset]), (width, height),
                           flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return moved if moved.ndim == 3 else moved[..., None]


TRAINING = ClassificationTraining()
