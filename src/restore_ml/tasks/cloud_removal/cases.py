"""What cloud removal is tested on: whole scenes under one cloud or gap.

Setting: `cases` (`cloud_<per cent>`, `cloud_<per cent>_shadow`, `snow_<per cent>`, `stripes`, `wedges`, each perhaps
with `_all_bands`). A scene that has more bands than the four of the task is tested in all of them, and by those cases
alone. Beside them scenes with real clouds, shadows and gaps are filled in all bands that they have (`AS_FOUND`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import text
from restore_ml.base.errors import UserError
from restore_ml.data.bands import names_of, whole
from restore_ml.data.scenes import BAND_BYTES, MASK
from restore_ml.data.shards import Record
from restore_ml.seeds import generator
from restore_ml.tasks.base import Cases, Partner, Sample, no_partner
from restore_ml.tasks.cloud_removal.gaps import GAPS, PATTERN, hidden, seen
from restore_ml.tasks.cloud_removal.task import TASK

AS_FOUND = "as_found"
"""The case of scenes with real gaps, whose truth nobody knows."""
ALL_BANDS = "_all_bands"
"""At the end of a case: the same gap in all bands that the scene has."""
USUAL = ("cloud_10", "cloud_20", "cloud_40", "stripes")
CHANGED = 100
"""Labels from here on mark land that changed between the dates."""


class CloudRemovalCases(Cases):
    """The setting `cases`."""

    task = TASK
    without_truth = (AS_FOUND,)
    defaults: ClassVar = {"cases": [*USUAL, "cloud_20" + ALL_BANDS]}

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
        """Scenes with further bands are for the cases that show them, others for the rest. Of one as it was found it
        must be known what is hidden."""
        if degradation == AS_FOUND:
            share = _real_gaps(picture).mean()
            return {0: "nothing of it is marked as hidden", 1: "all of it is hidden"}.get(share)
        if ("target_further" in picture.arrays) == degradation.endswith(ALL_BANDS):
            return None
        return "it has no further bands" if degradation.endswith(ALL_BANDS) else "it is tested in all of its bands"

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """The whole scene under one cloud or gap; facts `hole_ratio`, and `changed_ratio` of the hidden pixels where
        the scene has labels. A scene as it was found stays as it is; `hole_ratio` is of what its mask says."""
        if degradation == AS_FOUND:
            bands, mask = whole(picture.arrays, "target"), _real_gaps(picture)
            return Sample({"target": bands, "reference": whole(picture.arrays, "reference"), "mask": mask,
                           "bands": text(" ".join(names_of(picture.arrays, bands.shape[2])), BAND_BYTES)}, {},
                          {"kind": AS_FOUND, "hole_ratio": float(mask.mean())})
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


def _real_gaps(picture: Record) -> np.ndarray:
    """Clouds, shadows and pixels that were not measured, as the scene's own mask has them (snow is ground): H x W x 1.
    """
    codes = picture.arrays.get("mask", np.zeros((1, 1, 1), np.uint8))
    return np.isin(codes, [MASK.index(what) for what in ("cloud", "shadow", "nothing measured")]).astype(np.uint8)


CASES = CloudRemovalCases()
