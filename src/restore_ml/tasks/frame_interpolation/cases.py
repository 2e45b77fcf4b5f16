"""What frame interpolation is tested on: the middle frame of a clip, from those `gap` frames before and after."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.tasks.base import Cases, Partner, Sample, no_partner
from restore_ml.tasks.cropping import three_channels
from restore_ml.tasks.frame_interpolation.task import TASK


class FrameInterpolationCases(Cases):
    """`gap_<frames>`, one for each of the setting `gaps`."""

    task = TASK

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """In the order of the setting."""
        return [f"gap_{gap}" for gap in self.resolve(settings)["gaps"]]

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """The middle frame (the earlier one of two) and its neighbours; nothing is drawn. `UserError` for a clip that
        is too short. Facts: `gap`."""
        gap, frames = parse_degradation(degradation), picture.arrays["frames"]
        middle = (len(frames) - 1) // 2
        if middle - gap < 0 or middle + gap >= len(frames):
            raise UserError(f"A clip of {len(frames)} frames has no frame {gap} before and behind its middle one.")
        before, truth, after = (np.ascontiguousarray(three_channels(frames[index]))
                                for index in (middle - gap, middle, middle + gap))
        return Sample({"before": before, "after": after, "percent": np.array(50, np.int32)}, {"truth": truth},
                      {"gap": gap})


def parse_degradation(degradation: str) -> int:
    """The frames of a gap.

    >>> parse_degradation("gap_4")
    4
    """
    match = re.fullmatch(r"gap_([1-9]\d?)", degradation)
    if match is None:
        raise UserError(f"The degradation {degradation!r} of frame_interpolation is unknown; write gap_1, gap_2 ...")
    return int(match[1])


CASES = FrameInterpolationCases()
