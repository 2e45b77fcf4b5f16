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

RATE, SIDES = 1 / 8, (1, 9)
"""Of the source: points are added with a chance of 7 / 8 each, squares have 1 to 9 pixels a side."""


class GuidedColorizationTraining(ColorizationTraining):
    """Records and the histogram of colours are those of colorization."""

    task = TASK

    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
        """The run's `hint_rate` and `hint_sides` stand for `RATE` and `SIDES`."""
        plain = super().sample(record, pools, rng, run, options)
        number = number_of_hints(run.get("hint_rate", RATE), rng)
        given = hints(plain.target["ab"], number, run.get("hint_sides", SIDES), rng)
        return Sample({**plain.inputs, **given}, plain.target)


TRAINING = GuidedColorizationTraining()
