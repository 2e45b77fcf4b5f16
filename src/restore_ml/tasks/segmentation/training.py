"""What training sees of segmentation: crops of outlined fields, bent by a smooth random field, mirrored and turned, and
of other brightness and contrast."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import cv2
import numpy as np

from restore_ml.arrays import augment
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record, Shards
from restore_ml.tasks.base import Partner, Sample, Training, no_partner
from restore_ml.tasks.cropping import three_channels
from restore_ml.tasks.segmentation.task import TASK

GRID = 3
"""Random vectors a side of a crop."""


class SegmentationTraining(Training):
    """Records are the fields that somebody has outlined."""

    task = TASK
    defaults: ClassVar = {}

    def records(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> Iterator[Record]:
        """`image` and `instances` as they are."""
        for picture in pictures:
            if "instances" in picture.arrays:
                yield Record(picture.id, {key: picture.arrays[key] for key in ("image", "instances")}, picture.facts)

    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
        """A square of `patch` pixels, mirrored and turned, bent where the run's `elastic` (standard deviation of the
        displacements in pixels) is above 0. What a bend cuts in two is two nuclei. Grey levels vary by the run's `grey`
        (see `regreyed`)."""
        side, bend = int(run["patch"]), float(run.get("elastic", 0.0))
        image, instances = record.arrays["image"], record.arrays["instances"]
        if min(image.shape[:2]) < side:
            raise UserError(f"The setting `patch` is {side}, but a training picture is {image.shape[0]} x "
                            f"{image.shape[1]}; lower `patch`.")
        corner = [int(rng.integers(length - side + 1)) for length in image.shape[:2]]
        image, instances = bent(image, instances, corner, displacements(side, bend, rng))
        image = regreyed(image, float(run.get("grey", 0.0)), rng)
        cut = augment({"image": np.ascontiguousarray(three_channels(image)), "instances": numbered(instances)},
                      TASK.arrays, rng)
        return Sample({"image": cut["image"]}, {"labels": (cut["instances"] > 0).astype(np.uint8),
                                                "instances": cut["instances"]})


def displacements(side: int, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth random displacements, side x side x 2 float32 in pixels (x, y): normal vectors on a coarse grid of 3 x 3,
    made dense by bicubic interpolation (Ronneberger et al. 2015, 3.1)."""
    coarse = rng.normal(0, 1, (GRID, GRID, 2)).astype(np.float32)
    if deviation == 0:
        return np.zeros((side, side, 2), np.float32)
    return deviation * cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def regreyed(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """The uint8 picture with less contrast, and as much brighter as fits: a x + b (Ronneberger et al. 2015, 3.1, who
    name grey value variations without figures).

    reading: a is uniform between 1 - `strength` and 1, and b between 0 and 255 (1 - a), so nothing is cut off.
    """
    if not strength:
        return image
    contrast = 1 - strength * float(rng.random())
    lift = 255 * (1 - contrast) * float(rng.random())
    return np.rint(contrast * image + lift).astype(np.uint8)


def bent(image: np.ndarray, instances: np.ndarray, corner: Sequence[int],
         shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The square at `corner` (row, column) of an H x W x C picture and of its instances, each pixel read `shift` away:
    linearly from the picture, the nearest of the instances. Beyond the edges both are mirrored."""
    side = shift.shape[0]
    if not shift.any():
        here = np.s_[corner[0]:corner[0] + side, corner[1]:corner[1] + side]
        return image[here], instances[here]
    rows, columns = np.mgrid[corner[0]:corner[0] + side, corner[1]:corner[1] + side].astype(np.float32)
    x, y = columns + shift[..., 0], rows + shift[..., 1]
    seen = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    height, width = instances.shape[:2]
    down, right = (_mirrored(np.rint(place).astype(np.int64), length) for place, length in ((y, height), (x, width)))
    return seen.reshape(side, side, -1), instances[down, right]


def _mirrored(places: np.ndarray, length: int) -> np.ndarray:
    """Places beyond the edges of 0 ... length - 1, mirrored at the last pixel."""
    period = max(2 * (length - 1), 1)
    folded = places % period
    return np.minimum(folded, period - folded)


def numbered(instances: np.ndarray) -> np.ndarray:
    """The connected pieces of each instance, H x W x 1, as 1 to n, int32."""
    from skimage.measure import label

    return label(instances[..., 0], background=0, connectivity=1).astype(np.int32)[..., None]


TRAINING = SegmentationTraining()
