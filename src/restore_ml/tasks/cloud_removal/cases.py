"""What cloud removal is tested on: whole scenes under one cloud or gap.

Setting: `cases` (`cloud_<per cent>`, `cloud_<per cent>_shadow`, `snow_<per cent>`, `stripes`, `wedges`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.seeds import generator
from restore_ml.tasks.base import Cases, Partner, Sample, no_partner
from restore_ml.tasks.cloud_removal.gaps import GAPS, PATTERN, hidden, seen
from restore_ml.tasks.cloud_removal.task import TASK

CHANGED = 100
"""Labels from here on mark land that changed between the dates."""


class CloudRemovalCases(Cases):
    """The setting `cases`."""

    task = TASK
    defaults: ClassVar = {"cases": ["cloud_10", "cloud_20", "cloud_40", "stripes"]}

    def check(self, settings: Mapping[str, Any]) -> None:
        """Every case must be a degradation that there is."""
        for name in settings["cases"]:
            if name not in GAPS and not PATTERN.fullmatch(name):
                raise UserError(f"{name!r} is no case of cloud_removal; write cloud_20, cloud_20_shadow, snow_20 (any "
                                f"per cent), {' or '.join(GAPS)}.")

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """The setting `cases`; an unknown name is a `UserError`."""
        return list(self.resolve(settings)["cases"])

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """The whole scene under one cloud or gap; facts `hole_ratio`, and `changed_ratio` of the hidden pixels where
        the scene has labels."""
        rng = generator(seed, picture.id, degradation)
        truth = picture.arrays["target"]
        gaps = hidden(truth.shape[0], truth.shape[1], degradation, rng)
        mask = (gaps > 0).astype(np.uint8)
        facts: dict[str, Any] = {"kind": degradation, "hole_ratio": float(mask.mean())}
        if "labels" in picture.arrays and mask.any():
            facts["changed_ratio"] = float((picture.arrays["labels"][..., 0][mask > 0] >= CHANGED).mean())
        return Sample({"target": seen(truth, gaps, degradation, rng), "reference": picture.arrays["reference"],
                       "mask": mask[..., None]}, {"truth": truth}, facts)


CASES = CloudRemovalCases()
