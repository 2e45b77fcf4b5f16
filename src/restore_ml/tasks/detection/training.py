"""What training sees of detection: squares of fields with the boxes in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from restore_ml.arrays import augment
from restore_ml.data.shards import Record, Shards
from restore_ml.tasks.base import Partner, Sample, Training, no_partner
from restore_ml.tasks.cropping import three_channels
from restore_ml.tasks.detection.task import LEAST_SIDE, TASK, boxes_of, within
from restore_ml.tasks.squares import square

ROWS = 160
"""Of the boxes of a sample; the others are rows of zeros. A square that holds more keeps the first ones."""


class DetectionTraining(Training):
    """Whole fields are stored, with the boxes of their objects."""

    task = TASK

    def records(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> Iterator[Record]:
        """`image` and `boxes` of what is outlined; a field without outlines gives nothing."""
        for picture in pictures:
            if "instances" in picture.arrays:
                boxes = boxes_of(picture.arrays["instances"])
                yield Record(picture.id, {"image": picture.arrays["image"], "boxes": boxes}, picture.facts)

    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
        """A random square, mirrored and turned, resized to `patch` pixels: enlarged by between the two factors of the
        run's `zoom`, as far as the field is large enough. A box stays if its centre is in the square, and is cut at
        the edges (Liu et al. 2016, 2.2)."""
        image, boxes = record.arrays["image"], record.arrays["boxes"]
        low, high = run.get("zoom", (1.0, 1.0))
        zoom = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        side = min(max(8, round(run["patch"] / zoom)), *image.shape[:2])
        top, left = (int(rng.integers(length - side + 1)) for length in image.shape[:2])
        shown = three_channels(square(image[top:top + side, left:left + side], run["patch"]))
        moved = cut(boxes, left, top, side) * np.float32(run["patch"] / side)
        rows = np.zeros((ROWS, 4), np.float32)
        rows[:len(moved)] = moved[:ROWS]
        turned = augment({"image": shown, "boxes": rows}, TASK.arrays, rng)
        return Sample({"image": turned["image"]}, {"boxes": turned["boxes"], "labels": np.zeros(ROWS, np.float32)})


def cut(boxes: np.ndarray, left: int, top: int, side: int) -> np.ndarray:
    """The boxes (B x 4) whose centres are in a square, in its coordinates and cut at its edges, without slivers."""
    moved = boxes - np.array([left, top, left, top], np.float32)
    centres = (moved[:, :2] + moved[:, 2:]) / 2
    inside = ((centres >= 0) & (centres < side)).all(axis=1)
    kept = within(moved[inside], side, side)
    return kept[(kept[:, 2:] - kept[:, :2]).min(axis=1, initial=np.inf) >= LEAST_SIDE]


TRAINING = DetectionTraining()
