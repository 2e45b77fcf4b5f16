"""What guided colorization is tested on: the pictures of colorization with 0, 1, 10 and 50 points, and with strokes."""

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
from restore_ml.tasks.guided_colorization.scribbles import scribbles
from restore_ml.tasks.guided_colorization.task import TASK

MOST = 500
KINDS = {"hints": "numbers", "scribbles": "strokes"}
"""The kinds of hints that are tested, and the settings with their numbers."""


class GuidedColorizationCases(ColorizationCases):
    """`hints_<number>` of points, one for each of the setting `numbers`, and `scribbles_<number>` of strokes, for each
    of `strokes`; `side`: pixels of a point's side (6 of 256 in the source) and of a stroke's width."""

    task = TASK
    defaults: ClassVar = {"numbers": [0, 1, 10, 50], "strokes": [10], "side": 3}

    def check(self, settings: Mapping[str, Any]) -> None:
        """Numbers from 0 to 500, at least one of points, and a side of at least a pixel."""
        for name in KINDS.values():
            numbers = settings[name]
            if not isinstance(numbers, list) or any(
                    isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MOST
                    for number in numbers) or (name == "numbers" and not numbers):
                raise UserError(f"`{name}` of guided_colorization is {numbers!r}; it must be a list of whole numbers "
                                f"from 0 to {MOST}.")
        side = settings["side"]
        if isinstance(side, bool) or not isinstance(side, int) or side < 1:
            raise UserError(f"`side` of guided_colorization is {side!r}; it must be a whole number of at least 1.")

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """In the order of the settings, points first."""
        resolved = self.resolve(settings)
        return [f"{kind}_{number}" for kind, name in KINDS.items() for number in resolved[name]]

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """Points and strokes are drawn from (seed, picture.id) alone: those of a case are among those of the cases with
        more, so that cases differ by what is added. Facts: `hints` or `scribbles`."""
        kind, number = parse_degradation(degradation)
        plain = super().sample(picture, "lab_grey", seed, settings)
        side, ab, draws = self.resolve(settings)["side"], plain.target["ab"], generator(seed, picture.id, kind)
        given = hints(ab, number, (side, side), draws) if kind == "hints" else scribbles(ab, number, side, draws)
        return Sample({**plain.inputs, **given}, plain.target, {kind: number})


def parse_degradation(degradation: str) -> tuple[str, int]:
    """What is given, and how many.

    >>> parse_degradation("hints_10")
    ('hints', 10)
    """
    match = re.fullmatch(rf"({'|'.join(KINDS)})_(0|[1-9]\d{{0,2}})", degradation)
    if match is None or int(match[2]) > MOST:
        raise UserError(f"The degradation {degradation!r} of guided_colorization is unknown; write hints_0, hints_10 "
                        f"... up to hints_{MOST}, or scribbles_10.")
    return match[1], int(match[2])


CASES = GuidedColorizationCases()
