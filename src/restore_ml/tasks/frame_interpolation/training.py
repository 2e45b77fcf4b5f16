"""What training sees of frame interpolation: crops of three frames at equal distances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import augment
from restore_ml.data.shards import Record, Shards
from restore_ml.tasks.base import Partner, Sample, Training, no_partner
from restore_ml.tasks.cropping import random_squares, three_channels
from restore_ml.tasks.frame_interpolation.task import TASK


class FrameInterpolationTraining(Training):
    """Whole clips are stored; a sample is three of their frames."""

    task = TASK
    defaults: ClassVar = {}

    def records(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> Iterator[Record]:
        """`frames` as they are."""
        for picture in pictures:
            yield Record(picture.id, {"frames": picture.arrays["frames"]}, picture.facts)

    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
        """A gap of the run's `gaps` (of those that the clip has room for), a middle frame, a square of `patch` pixels;
        played backwards half the time, mirrored and turned."""
        frames = record.arrays["frames"]
        room = (len(frames) - 1) // 2
        gaps = [min(gap, room) for gap in run.get("gaps", TASK.defaults["gaps"])]
        gap = int(gaps[rng.integers(len(gaps))])
        middle = int(rng.integers(gap, len(frames) - gap))
        step = gap if rng.integers(2) else -gap
        chosen = {"before": frames[middle - step], "truth": frames[middle], "after": frames[middle + step]}
        crops = random_squares({name: three_channels(frame) for name, frame in chosen.items()}, run["patch"], rng)
        crops = augment(crops, TASK.arrays, rng)
        return Sample({"before": crops["before"], "after": crops["after"], "percent": np.array(50, np.int32)},
                      {"truth": crops["truth"]})


TRAINING = FrameInterpolationTraining()
