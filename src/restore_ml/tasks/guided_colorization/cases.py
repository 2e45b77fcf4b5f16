"""What guided colorization is tested on: the pictures of colorization with 0, 1, 10 and 50 hints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.seeds import generator
from restore_ml.tasks.base import Partner, Sample, no_partner
from restore_ml.tasks.colorization.cases import ColorizationCases
from restore_ml.tasks.guided_colorization.hints import hints
from restore_ml.tasks.guided_colorization.task import TASK

MOST = 500


class GuidedColorizationCases(ColorizationCases):
    """`hints_<number>`, one for each of the setting `numbers`; `side`: pixels of a hint's side (6 of 256 in the
    source)."""

    task = TASK
    defaults: ClassVar = {"numbers": [0, 1, 10, 50], "side": 3}

    def check(self, settings: Mapping[str, Any]) -> None:
        """Numbers from 0 to 500, and a side of at least a pixel."""
        numbers, side = settings["numbers"], settings["side"]
        if not numbers or any(isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MOST
                              for number in numbers):
            raise UserError(f"`numbers` of guided_colorization is {numbers!r}; it must be a list of whole numbers from "
                            f"0 to {MOST}.")
        if isinstance(side, bool) or not isinstance(side, int) or side < 1:
            raise UserError(f"`side` of guided_colorization is {side!r}; it must be a whole number of at least 1.")

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """In the order of the setting."""
        return [f"hints_{number}" for number in self.resolve(settings)["numbers"]]

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """The points are drawn from (seed, picture.id) alone: those of a case are among those of the cases with more,
        so that cases differ by what is added. Facts: `hints`."""
        number = parse_degradation(degradation)
        plain = super().sample(picture, "lab_grey", seed, settings)
        side = self.resolve(settings)["side"]
        given = hints(plain.target["ab"], number, (side, side), generator(seed, picture.id, "hints"))
        return Sample({**plain.inputs, **given}, plain.target, {"hints": number})


def parse_degradation(degradation: str) -> int:
    """The number of hints.

    >>> parse_degradation("hints_10")
    10
    """
    match = re.fullmatch(r"hints_(0|[1-9]\d{0,2})", degradation)
    if match is None or int(match[1]) > MOST:
        raise UserError(f"The degradation {degradation!r} of guided_colorization is unknown; write hints_0, hints_10 "
                        f"... up to hints_{MOST}.")
    return int(match[1])


CASES = GuidedColorizationCases()
