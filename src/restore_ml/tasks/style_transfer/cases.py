"""What style transfer is tested on: each photograph with one painting.

Setting: `most`, how many pictures of a test set are painted at most (0: all; see `restore_ml.degrading.cases`), because
a method may move pixels for seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.tasks.base import Cases, Partner, Sample, no_partner
from restore_ml.tasks.cropping import resized_to_short_side, three_channels
from restore_ml.tasks.style_transfer.task import CONTENT, STYLE, TASK

PAINTED = "painting"


class StyleTransferCases(Cases):
    """One case a test set, `painting`."""

    task = TASK
    defaults: ClassVar = {"most": 0}

    def check(self, settings: Mapping[str, Any]) -> None:
        """`most` is a whole number, 0 or more."""
        most = settings["most"]
        if isinstance(most, bool) or not isinstance(most, int) or most < 0:
            raise UserError(f"`most` of style_transfer is {most!r}; it must be a whole number: how many pictures of a "
                            "test set are painted at most, or 0 for all.")

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """`painting`."""
        return [PAINTED]

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """The photograph and a painting drawn for it, the shorter side of each `size` pixels long. Facts: `style`, the
        painting's name."""
        if degradation != PAINTED:
            raise UserError(f"The degradation {degradation!r} of style_transfer is unknown; there is {PAINTED}.")
        size, painting = self.resolve(settings)["size"], partner(STYLE)
        pair = {name: np.ascontiguousarray(resized_to_short_side(three_channels(one.arrays["image"]), size))
                for name, one in ((CONTENT, picture), (STYLE, painting))}
        return Sample(pair, {}, {"style": str(painting.facts.get("name", painting.id[:16]))})


CASES = StyleTransferCases()
