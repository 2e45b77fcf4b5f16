"""What training sees of face super-resolution: whole faces, mirrored half the time, made small as the run asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from restore_ml.arrays import augment
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record, Shards
from restore_ml.tasks.base import Partner, Sample, Training, no_partner
from restore_ml.tasks.face_super_resolution.annotations import ANNOTATIONS, annotations_of
from restore_ml.tasks.face_super_resolution.task import SCALE, TASK, attributes_of, face, made_small, rgb


class FaceSuperResolutionTraining(Training):
    """Faces are stored at the task's `size`; a sample is a whole one, because faces are aligned."""

    task = TASK

    def records(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> Iterator[Record]:
        """`hr`, `size` x `size` x 1 or 3, `attributes` and, where they are known, `landmarks` and `parsing`."""
        size = self.resolve(settings)["size"]
        for picture in pictures:
            yield Record(picture.id, {"hr": face(picture.arrays["image"], size),
                                      "attributes": attributes_of(picture.arrays),
                                      **annotations_of(picture.arrays, size)}, picture.facts)

    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
        """One of the run's `kinds` of degradation (the plain one where it names none) with the task's usual noise and
        blur, or the run's own `noise_sigma` and `blur_sigma`. Its truth also has the annotations that the face has,
        for methods that learn from them. `UserError` where the run's `patch`, the size that its network is made for, is
        not the size of the faces."""
        size = len(record.arrays["hr"])
        if run.get("patch", size) != size:
            raise UserError(f"The run's setting `patch` is {run['patch']}, but the faces are {size} pixels large; give "
                            "`patch` the `size` of the samples in graph/face_super_resolution/runs.yaml.")
        known = {name: record.arrays[name] for name in ANNOTATIONS if name in record.arrays}
        truth = augment({"hr": rgb(record.arrays["hr"]), **known}, {**TASK.arrays, **ANNOTATIONS}, rng, rotate=False)
        kinds = run.get("kinds", ["plain"])
        kind = kinds[int(rng.integers(len(kinds)))]
        lr = made_small(truth["hr"], kind, {**TASK.defaults, **run}, rng)
        return Sample({"lr": lr, "scale": np.array(SCALE, np.int32)},
                      {**truth, "hr_attributes": attributes_of(record.arrays)})


TRAINING = FaceSuperResolutionTraining()
