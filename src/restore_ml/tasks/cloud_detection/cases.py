"""What cloud detection is tested on: whole scenes of one date under simulated clouds, whose place is known.

Setting: `cases` (`thick_<per cent>`, `thin_<per cent>`, both perhaps with `_shadow`, each perhaps with `_four_bands`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from restore_ml.base.errors import UserError
from restore_ml.data.bands import FOUR, LAND, names_of, places, whole
from restore_ml.data.shards import Record
from restore_ml.seeds import generator
from restore_ml.tasks.base import Cases, Partner, Sample, no_partner
from restore_ml.tasks.cloud_detection.clouding import PATTERN, clouded, ground, painted
from restore_ml.tasks.cloud_detection.task import TASK

FOUR_BANDS = "_four_bands"
"""At the end of a case: the same clouds, seen in blue, green, red and near infrared alone."""


class CloudDetectionCases(Cases):
    """The setting `cases`. Those that do not end in `_four_bands` want both bands of short-wave infrared."""

    task = TASK
    defaults: ClassVar = {"cases": ["thick_20", "thin_20", "thick_20_shadow", "thin_20_shadow",
                                    f"thick_20_shadow{FOUR_BANDS}"]}

    def check(self, settings: Mapping[str, Any]) -> None:
        """Every case must be one that there is."""
        for name in settings["cases"]:
            if not PATTERN.fullmatch(name.removesuffix(FOUR_BANDS)):
                raise UserError(f"{name!r} is no case of cloud_detection; write thick_20, thin_20 (any per cent), one "
                                "of them with _shadow, or any of these with _four_bands.")

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """The setting `cases`; an unknown name is a `UserError`."""
        return list(self.resolve(settings)["cases"])

    def leaves_out(self, picture: Record, degradation: str, settings: Mapping[str, Any]) -> str | None:
        """Refuses scenes without the bands that the case shows."""
        wanted = FOUR if degradation.endswith(FOUR_BANDS) else LAND
        if painted(picture) or places(names_of(picture.arrays, whole(picture.arrays, "target").shape[2]), wanted):
            return None
        return f"its bands are not named as {', '.join(wanted)}"

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """The whole scene under the clouds of the case; see `clouding`."""
        kind = degradation.removesuffix(FOUR_BANDS)
        rng = generator(seed, picture.id, kind)
        scene, names = ground(picture, rng)
        if kind != degradation and (kept := places(names, FOUR)) is not None:
            scene, names = scene[..., kept], tuple(names[place] for place in kept)
        return clouded(scene, names, kind, rng)


CASES = CloudDetectionCases()
