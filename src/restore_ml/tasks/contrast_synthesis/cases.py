"""What contrast synthesis is tested on: whole slices without some of their contrasts.

Setting: `cases` (`missing_<contrast>_<contrast> ...`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.data.shards import Record
from restore_ml.tasks.base import Cases, Partner, Sample, no_partner
from restore_ml.tasks.contrast_synthesis.hiding import without
from restore_ml.tasks.contrast_synthesis.task import CONTRASTS, COUNT, TASK, missing_contrasts


class ContrastSynthesisCases(Cases):
    """The setting `cases`."""

    task = TASK
    defaults: ClassVar = {"cases": ["missing_t1", "missing_t1ce", "missing_t2", "missing_flair", "missing_t1ce_flair"]}

    def check(self, settings: Mapping[str, Any]) -> None:
        """Every case must be a degradation that there is."""
        for name in settings["cases"]:
            missing_contrasts(name)

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """The setting `cases`; an unknown name is a `UserError`."""
        return list(self.resolve(settings)["cases"])

    def leaves_out(self, picture: Record, degradation: str, settings: Mapping[str, Any]) -> str | None:
        """Refuses slices whose patient lacks a contrast that is asked for (there is no truth), or has no other one."""
        missing = missing_contrasts(degradation)
        there = np.flatnonzero(picture.arrays["there"]).tolist()
        lacking = [CONTRASTS[channel] for channel in missing if channel not in there]
        if lacking:
            return f"there is no {' or '.join(lacking)} to compare with in {degradation}"
        return None if set(there) - set(missing) else f"nothing else is there in {degradation}"

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """The slice without the contrasts of that degradation, all of which are wanted; nothing is drawn."""
        wanted = np.zeros(COUNT, np.float32)
        wanted[list(missing_contrasts(degradation))] = 1
        return without(picture.arrays, wanted, picture.arrays["there"] * (1 - wanted))


CASES = ContrastSynthesisCases()
