"""What training sees of video super-resolution: aligned crops of a few frames in a row and their small twins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import augment
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record, Shards
from restore_ml.tasks.base import Partner, Sample, Training, no_partner
from restore_ml.tasks.cropping import three_channels
from restore_ml.tasks.video_super_resolution.shrinking import parse_degradation, shrunk
from restore_ml.tasks.video_super_resolution.task import TASK


class VideoSuperResolutionTraining(Training):
    """A run learns one degradation (its setting `degradation`, `x4` where it has none)."""

    task = TASK
    defaults: ClassVar = {}

    def records(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> Iterator[Record]:
        """`hr`, the frames as they are, and `lr_<degradation>` for every one of the settings."""
        names = sorted(set(self.resolve(settings)["degradations"]))
        for picture in pictures:
            frames = picture.arrays["frames"]
            yield Record(picture.id, {"hr": frames, **{f"lr_{name}": shrunk(frames, name) for name in names}},
                         picture.facts)

    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
        """`frames` of the run (3 where it does not say) in a row, played backwards half the time: `hr` of `patch`
        pixels rounded down to a multiple of the scale, `lr` of the same place, mirrored and turned alike."""
        degradation, count = run.get("degradation", "x4"), int(run.get("frames", 3))
        scale, _ = parse_degradation(degradation)
        if f"lr_{degradation}" not in record.arrays:
            raise UserError(f"The training material of video_super_resolution has no {degradation}; add it to "
                            "`degradations` in graph/video_super_resolution/runs.yaml.")
        hr, lr = record.arrays["hr"], record.arrays[f"lr_{degradation}"]
        side = run["patch"] // scale
        if count > len(lr) or not 1 <= side <= min(lr.shape[1:3]):
            raise UserError(f"A run wants {count} frames and a patch of {run['patch']} pixels of a training clip of "
                            f"{len(hr)} frames of {hr.shape[2]} x {hr.shape[1]} pixels; lower `frames` or `patch`.")
        first = int(rng.integers(len(lr) - count + 1))
        top, left = (int(rng.integers(length - side + 1)) for length in lr.shape[1:3])
        order = slice(first, first + count)
        crops = {"lr": lr[order, top:top + side, left:left + side],
                 "hr": hr[order, top * scale:(top + side) * scale, left * scale:(left + side) * scale]}
        step = -1 if rng.integers(2) else 1
        crops = {name: np.stack([three_channels(frame) for frame in crop[::step]]) for name, crop in crops.items()}
        crops = augment(crops, TASK.arrays, rng)
        return Sample({"lr": crops["lr"], "scale": np.array(scale, np.int32)}, {"hr": crops["hr"]})


TRAINING = VideoSuperResolutionTraining()
