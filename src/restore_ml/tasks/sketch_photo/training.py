"""What training sees of face photos and sketches: crops of pairs, or of a photo and of the sketch of somebody else.

A run's setting `unpaired` (of the method) says which; a paired one's `direction` says what is the source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import augment
from restore_ml.data.shards import Record, Shards
from restore_ml.seeds import derive
from restore_ml.tasks.base import Partner, Sample, Training, no_partner
from restore_ml.tasks.cropping import random_square_mirrored, three_channels
from restore_ml.tasks.sketch_photo.task import DIRECTIONS, SIDES, TASK, translated


class SketchPhotoTraining(Training):
    """Whole drawings are stored; pairs are cut from them, or photos of one half and sketches of the other."""

    task = TASK
    defaults: ClassVar = {}

    def records(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> Iterator[Record]:
        """`photo`, `sketch` and `half`: which of both it gives where pairs must not be known (0 photo, 1 sketch)."""
        for picture in pictures:
            arrays = {side: picture.arrays[side] for side in SIDES}
            yield Record(picture.id, {**arrays, "half": np.array(half_of(picture), np.int32)}, picture.facts)

    def partner_records(self, role: str, pictures: Sequence[Record], seed: int,
                        settings: Mapping[str, Any]) -> Iterator[Record]:
        """The photos of the one half, or the sketches of the other."""
        for picture in pictures:
            if SIDES[half_of(picture)] == role:
                yield Record(picture.id, {role: picture.arrays[role]}, picture.facts)

    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
        """Squares of `patch` pixels, mirrored left to right in half of the visits; a smaller picture is mirrored at its
        edges first. Of a pair both are cut at one place. Unpaired, a drawing gives the side of its half, a partner the
        other one, and each is cut and mirrored by itself; `source` is the photo."""
        sides, wanted = record.arrays, DIRECTIONS.index(run.get("direction", DIRECTIONS[0]))
        if run.get("unpaired"):
            own = SIDES[int(sides["half"])]
            other = SIDES[1 - SIDES.index(own)]
            crops = {own: _cut(sides[own], run["patch"], rng),
                     other: _cut(partner(other).arrays[other], run["patch"], rng)}
            wanted = 0
        else:
            both = np.concatenate([three_channels(sides[side]) for side in SIDES], axis=2)
            square = _cut(both, run["patch"], rng)
            crops = {"photo": square[:, :, :3], "sketch": square[:, :, 3:]}
        return translated(crops, wanted)


def half_of(drawing: Record) -> int:
    """0 or 1, the same for all drawings of a person, whatever else there is; the embedded ones are parted evenly."""
    return derive("half", drawing.facts.get("group", drawing.id)) % 2


def _cut(picture: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    square = random_square_mirrored(picture, side, rng)
    return augment({"source": square}, TASK.arrays, rng, rotate=False)["source"]


TRAINING = SketchPhotoTraining()
