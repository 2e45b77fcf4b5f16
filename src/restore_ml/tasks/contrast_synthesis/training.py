"""What training sees of contrast synthesis: crops of slices of which one contrast, or more, is hidden."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import ArraySpec, augment
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record, Shards
from restore_ml.kinds import PICTURE
from restore_ml.tasks.base import Partner, Sample, Training, no_partner
from restore_ml.tasks.contrast_synthesis.hiding import without
from restore_ml.tasks.contrast_synthesis.task import CONTRASTS, COUNT, TASK
from restore_ml.tasks.cropping import random_squares


class ContrastSynthesisTraining(Training):
    """Records are the slices, with zeros for labels that nobody has drawn."""

    task = TASK
    defaults: ClassVar = {}

    def records(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> Iterator[Record]:
        """`contrasts`, `there` and `labels`."""
        for picture in pictures:
            contrasts = picture.arrays["contrasts"]
            labels = picture.arrays.get("labels", np.zeros((*contrasts.shape[:2], 1), np.uint8))
            yield Record(picture.id, {"contrasts": contrasts, "there": picture.arrays["there"], "labels": labels},
                         picture.facts)

    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
        """A turned crop of side `patch`. One of the patient's contrasts is wanted; of the others up to
        `most_missing` - 1 (1 where the run has no such setting: none) are hidden too, and at least one is given.

        Only contrasts of the run's `contrasts` (names; all where it has no such setting) are wanted or given.
        """
        used = [CONTRASTS.index(name) for name in run.get("contrasts") or CONTRASTS]
        there = [channel for channel in used if record.arrays["there"][channel]]
        if len(there) < 2:
            names = ", ".join(CONTRASTS[channel] for channel in used)
            raise UserError(f"A training slice ({record.id[:12]}) has fewer than two of the contrasts {names}; take "
                            "its patient out of the training pictures, or name other contrasts in the run's setting "
                            "`contrasts`.")
        most = min(int(run.get("most_missing", 1)), len(there) - 1)
        hidden = rng.permutation(there)[:int(rng.integers(1, most + 1))]
        wanted, given = np.zeros(COUNT, np.float32), np.zeros(COUNT, np.float32)
        wanted[hidden[0]] = 1
        given[[channel for channel in there if channel not in hidden]] = 1
        grids = {name: record.arrays["contrasts"][..., [channel]] for channel, name in enumerate(CONTRASTS)}
        specs = dict.fromkeys(CONTRASTS, ArraySpec(PICTURE)) | {"labels": TASK.target["labels"]}
        squares = random_squares({**grids, "labels": record.arrays["labels"]}, run["patch"], rng)
        cut = augment(squares, specs, rng)  # a contrast at a time: OpenCV cannot turn five channels
        slices = {"contrasts": np.concatenate([cut[name] for name in CONTRASTS], axis=2), "labels": cut["labels"],
                  "there": record.arrays["there"]}
        return without(slices, wanted, given)


TRAINING = ContrastSynthesisTraining()
