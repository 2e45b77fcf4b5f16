"""What cloud removal is tested on: whole scenes under one cloud or gap.

Setting: `cases` (`cloud_<per cent>`, `cloud_<per cent>_shadow`, `snow_<per cent>`, `stripes`, `wedges`, each perhaps
with `_all_bands`). A scene that has more bands than the four of the task is tested in all of them, and by those cases
alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import text
from restore_ml.base.errors import UserError
from restore_ml.data.bands import names_of, whole
from restore_ml.data.scenes import BAND_BYTES
from restore_ml.data.shards import Record
from restore_ml.seeds import generator
from restore_ml.tasks.base import Cases, Partner, Sample, no_partner
from restore_ml.tasks.cloud_removal.gaps import GAPS, PATTERN, hidden, seen
from restore_ml.tasks.cloud_removal.task import TASK

ALL_BANDS = "_all_bands"
"""At the end of a case: the same gap in all bands that the scene has."""
USUAL = ("cloud_10", "cloud_20", "cloud_40", "stripes")
CHANGED = 100
"""Labels from here on mark land that changed between the dates."""


class CloudRemovalCases(Cases):
    """The setting `cases`."""

    task = TASK
    defaults: ClassVar = {"cases": [*USUAL, *(name + ALL_BANDS for name in USUAL)]}

    def check(self, settings: Mapping[str, Any]) -> None:
        """Every case must be a degradation that there is."""
        for name in settings["cases"]:
            kind = name.removesuffix(ALL_BANDS)
            if kind not in GAPS and not PATTERN.fullmatch(kind):
                raise UserError(f"{name!r} is no case of cloud_removal; write cloud_20, cloud_20_shadow, snow_20 (any "
                                f"per cent), {' or '.join(GAPS)}, or one of these with {ALL_BANDS}.")

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """The setting `cases`; an unknown name is a `UserError`."""
        return list(self.resolve(settings)["cases"])

    def leaves_out(self, picture: Record, degradation: str, settings: Mapping[str, Any]) -> str | None:
        """Scenes with further bands are for the cases that show them, others for the rest."""
        if ("target_further" in picture.arrays) == degradation.endswith(ALL_BANDS):
            return None
        return "it has no further bands" if degradation.endswith(ALL_BANDS) else "it is tested in all of its bands"

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """The whole scene under one cloud or gap; facts `hole_ratio`, and `changed_ratio` of the hidden pixels where
        the scene has labels."""
        kind = degradation.removesuffix(ALL_BANDS)
        rng = generator(seed, picture.id, kind)
        truth, reference = (picture.arrays[date] if kind == degradation else whole(picture.arrays, date)
                            for date in ("target", "reference"))
        gaps = hidden(truth.shape[0], truth.shape[1], kind, rng)
        mask = (gaps > 0).astype(np.uint8)
        facts: dict[str, Any] = {"kind": kind, "hole_ratio": float(mask.mean())}
        if "labels" in picture.arrays and mask.any():
            facts["changed_ratio"] = float((picture.arrays["labels"][..., 0][mask > 0] >= CHANGED).mean())
        bands = text(" ".join(names_of(picture.arrays, truth.shape[2])), BAND_BYTES)
        return Sample({"target": seen(truth, gaps, kind, rng), "reference": reference, "mask": mask[..., None],
                       "bands": bands}, {"truth": truth}, facts)


CASES = CloudRemovalCases()
