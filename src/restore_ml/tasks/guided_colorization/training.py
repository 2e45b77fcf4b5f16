"""What training sees of guided colorization: the squares of colorization with hints drawn anew at each visit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from restore_ml.data.shards import Record, Shards
from restore_ml.tasks.base import Partner, Sample, no_partner
from restore_ml.tasks.colorization.training import ColorizationTraining
from restore_ml.tasks.guided_colorization.hints import hints, number_of_hints
from restore_ml.tasks.guided_colorization.task import TASK

RATE, SIDES, WHOLE = 1 / 8, (1, 9), 0.01
"""Of the source: points are added with a chance of 7 / 8 each, squares have 1 to 9 pixels a side; of one picture in a
hundred every pixel is given, so that the network learns to copy what it is told."""


class GuidedColorizationTraining(ColorizationTraining):
    """Records and the histogram of colours are those of colorization."""

    task = TASK

    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
        """The run's `hint_rate`, `hint_sides` and `hint_whole` stand for `RATE`, `SIDES` and `WHOLE`."""
        plain = super().sample(record, pools, rng, run, options)
        number = number_of_hints(run.get("hint_rate", RATE), rng)
        given = hints(plain.target["ab"], number, run.get("hint_sides", SIDES), rng)
        if rng.random() < run.get("hint_whole", WHOLE):
            ab = plain.target["ab"]
            given = {"hint": ab.copy(), "hinted": np.ones((*ab.shape[:2], 1), np.float32)}
        return Sample({**plain.inputs, **given}, plain.target)


TRAINING = GuidedColorizationTraining()
