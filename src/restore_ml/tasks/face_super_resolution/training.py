"""What training sees of face super-resolution: whole faces, mirrored half the time, made small as the run asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from restore_ml.arrays import augment
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record, Shards
from restore_ml.tasks.base import Partner, Sample, Training, no_partner
from restore_ml.tasks.face_super_resolution.task import SCALE, TASK, attributes_of, face, made_small, rgb


class FaceSuperResolutionTraining(Training):
    """Faces are stored at the task's `size`; a sample is a whole one, because faces are aligned."""

    task = TASK

    def records(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> Iterator[Record]:
        """`hr`, `size` x `size` x 1 or 3, and `attributes`."""
        size = self.resolve(settings)["size"]
        for picture in pictures:
            yield Record(picture.id, {"hr": face(picture.arrays["image"], size),
                                      "attributes": attributes_of(picture.arrays)}, picture.facts)

    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
        """One of the run's `kinds` of degradation (the plain one where it names none) with the task's usual noise and
        blur, or the run's own `noise_sigma` and `blur_sigma`. `UserError` where the run's `patch`, the size that its
        network is made for, is not the size of the faces."""
        size = len(record.arrays["hr"])
        if run.get("patch", size) != size:
            raise UserError(f"The run's setting `patch` is {run['patch']}, but the faces are {size} pixels large; give "
                            "`patch` the `size` of the samples in graph/face_super_resolution/runs.yaml.")
        hr = augment({"hr": rgb(record.arrays["hr"])}, TASK.arrays, rng, rotate=False)["hr"]
        kinds = run.get("kinds", ["plain"])
        kind = kinds[int(rng.integers(len(kinds)))]
        lr = made_small(hr, kind, {**TASK.defaults, **run}, rng)
        return Sample({"lr": lr, "scale": np.array(SCALE, np.int32)},
                      {"hr": hr, "hr_attributes": attributes_of(record.arrays)})


TRAINING = FaceSuperResolutionTraining()
