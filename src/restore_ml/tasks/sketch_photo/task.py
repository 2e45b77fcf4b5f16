"""Face photo and sketch: one of them in, the other one out.

Inputs: `source`, a photo or a sketch (H x W x 3 uint8; grey ones in three equal channels), and `direction`, the place
in `DIRECTIONS` of what is asked for. Target: `truth`, the other one of the pair. Output: `picture`.
Setting: `directions`, those that are tested.

There are three roles of one kind of data. A `drawing` is a photo with its sketch. For methods that learn without pairs
the drawings are parted in two halves by person: the `photo` of one half and the `sketch` of the other half, so that
nobody's photo and sketch are both seen.
Source: part 2.1 of the cross-domain cards (CUFS and CUFSF).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import Arrays, ArraySpec
from restore_ml.base.errors import UserError
from restore_ml.kinds import NUMBER, PICTURE
from restore_ml.tasks.base import Sample, Task
from restore_ml.tasks.cropping import three_channels

DIRECTIONS = ("photo_to_sketch", "sketch_to_photo")
SIDES = ("photo", "sketch")
"""The roles of unpaired learning, in the order of the halves."""
SMALLEST = 32


class SketchPhoto(Task):
    """See the module's docstring."""

    name = "sketch_photo"
    roles: ClassVar = {"drawing": "drawings", **dict.fromkeys(SIDES, "drawings")}
    inputs: ClassVar = {"source": ArraySpec(PICTURE, 3), "direction": ArraySpec(NUMBER, low=0, high=1)}
    target: ClassVar = {"truth": ArraySpec(PICTURE, 3, size_of="source")}
    output: ClassVar = {"picture": ArraySpec(PICTURE, 3, size_of="source")}
    defaults: ClassVar = {"directions": list(DIRECTIONS)}

    def check(self, settings: Mapping[str, Any]) -> None:
        """Directions are some of `DIRECTIONS`, at least one."""
        directions = settings["directions"]
        if not directions or any(name not in DIRECTIONS for name in directions):
            raise UserError(f"`directions` of sketch_photo is {directions!r}; it must be a list of "
                            f"{' and '.join(DIRECTIONS)}, or of one of them.")

    def accepts(self, picture: np.ndarray, settings: Mapping[str, Any]) -> str | None:
        """Refuses photos with a side below 32 pixels."""
        return f"a side is below {SMALLEST} pixels" if min(picture.shape[:2]) < SMALLEST else None


def translated(sides: Arrays, direction: int) -> Sample:
    """The sample of a `photo` and a `sketch` in that direction."""
    photo, sketch = (np.ascontiguousarray(three_channels(sides[side])) for side in SIDES)
    source, truth = (sketch, photo) if direction else (photo, sketch)
    return Sample({"source": source, "direction": np.array(direction, np.int32)}, {"truth": truth})


TASK = SketchPhoto()
