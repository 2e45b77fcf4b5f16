"""Video super-resolution: a clip of low-resolution frames in, the whole clip `scale` times as large out.

Inputs: `lr` (T x h x w x 3 uint8) and `scale`. Target: `hr`. Output: `sr`, a frame for every frame of `lr`.
Setting: `degradations`, tested and prepared for training (see `shrinking`).
Source: the video part of the super-resolution cards. reading: the seed prints no factor; x4 ranks. Methods that are
described with the middle frame as their output are applied around every frame; where neighbours are missing, the first
and the last frame of the clip are repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import ArraySpec
from restore_ml.base.errors import UserError
from restore_ml.kinds import CLIP, NUMBER
from restore_ml.tasks.base import Task
from restore_ml.tasks.video_super_resolution.shrinking import LARGEST_SCALE, parse_degradation

SHORTEST_CLIP = 7
"""Frames; three are left out at either end when a clip is measured."""
SHORTEST_SIDE = 48
"""Pixels; below it too little is left after the border is shaved to measure structural similarity."""


class VideoSuperResolution(Task):
    """See the module's docstring."""

    name = "video_super_resolution"
    roles: ClassVar = {"clip": "clips"}
    inputs: ClassVar = {"lr": ArraySpec(CLIP, 3), "scale": ArraySpec(NUMBER, low=1, high=LARGEST_SCALE)}
    target: ClassVar = {"hr": ArraySpec(CLIP, 3, size_of="lr", scale="scale")}
    output: ClassVar = {"sr": ArraySpec(CLIP, 3, size_of="lr", scale="scale")}
    defaults: ClassVar = {"degradations": ["x4", "x4_bd", "x3", "x2"]}

    def check(self, settings: Mapping[str, Any]) -> None:
        """There must be a degradation, and none that is unknown."""
        names = settings["degradations"]
        if not isinstance(names, list | tuple) or not names:
            raise UserError(f"`degradations` of video_super_resolution is {names!r}; it must be a list such as "
                            "[x4, x4_bd].")
        for name in names:
            parse_degradation(name)

    def accepts(self, picture: np.ndarray, settings: Mapping[str, Any]) -> str | None:
        """Refuses clips of fewer than 7 frames, with a side of less than 48 pixels, or of other than 1 or 3
        channels."""
        if picture.shape[3] not in (1, 3):
            return f"{picture.shape[3]} channels"
        if len(picture) < SHORTEST_CLIP:
            return f"{len(picture)} frames, at least {SHORTEST_CLIP} are needed"
        return f"a side is below {SHORTEST_SIDE} pixels" if min(picture.shape[1:3]) < SHORTEST_SIDE else None


TASK = VideoSuperResolution()
