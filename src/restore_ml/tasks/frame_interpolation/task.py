"""Frame interpolation: two frames of a clip in, a frame between them out.

Inputs: `before` and `after` (H x W x 3 uint8) and `percent`, where between them the frame lies (1 to 99 hundredths of
the time; 50 is the middle). Target: `truth`. Output: `frame`.
Setting: `gaps`, the numbers of frames from each of the two to the one between them; larger ones move further.
Source: the method card `flow_interp`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import ArraySpec
from restore_ml.base.errors import UserError
from restore_ml.kinds import NUMBER, PICTURE
from restore_ml.tasks.base import Task

SMALLEST = 32
LARGEST_GAP = 16


class FrameInterpolation(Task):
    """See the module's docstring."""

    name = "frame_interpolation"
    roles: ClassVar = {"clip": "clips"}
    inputs: ClassVar = {"before": ArraySpec(PICTURE, 3), "after": ArraySpec(PICTURE, 3, size_of="before"),
                        "percent": ArraySpec(NUMBER, low=1, high=99)}
    target: ClassVar = {"truth": ArraySpec(PICTURE, 3, size_of="before")}
    output: ClassVar = {"frame": ArraySpec(PICTURE, 3, size_of="before")}
    defaults: ClassVar = {"gaps": [1, 2, 4]}

    def check(self, settings: Mapping[str, Any]) -> None:
        """Gaps are whole numbers from 1 to 16."""
        gaps = settings["gaps"]
        if not gaps or any(isinstance(gap, bool) or not isinstance(gap, int) or not 1 <= gap <= LARGEST_GAP
                           for gap in gaps):
            raise UserError(f"`gaps` of frame_interpolation is {gaps!r}; it must be a list of whole numbers from 1 to "
                            f"{LARGEST_GAP}.")

    def accepts(self, picture: np.ndarray, settings: Mapping[str, Any]) -> str | None:
        """Refuses clips with fewer frames than the largest gap needs, and with a side below 32 pixels."""
        needed = 2 * max(self.resolve(settings)["gaps"]) + 1
        if len(picture) < needed:
            return f"{len(picture)} frames, the largest gap needs {needed}"
        return f"a side is below {SMALLEST} pixels" if min(picture.shape[1:3]) < SMALLEST else None


TASK = FrameInterpolation()
