"""Colorization: Lab lightness in, Lab colour (ab) out; the lightness of the input is kept.

Setting: `size`, the side of the square test pictures (0: whole pictures). The grey is Lab lightness: of a colour
picture its L, of a true grey picture the L of (g, g, g).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import ArraySpec
from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import rgb_to_lab
from restore_ml.kinds import FLOAT, PICTURE
from restore_ml.tasks.base import Sample, Task

NEAR_GREY = 5.0
"""A picture is coloured when some |a| or |b| exceeds this (the rule of Zhang et al.'s code)."""
SHORTEST_SIDE = 32
DRAWN = 8
"""How many results a method that samples gives of a picture."""


class Colorization(Task):
    """`L` (H x W x 1, [0, 100]) to `ab` (H x W x 2). A method may also give `rgb`, its own colours with their own
    lightness. One that samples gives `drawn` beside it: the ab of DRAWN results (a1, b1, a2, b2 ...), of which `ab` is
    the first."""

    name = "colorization"
    inputs: ClassVar = {"L": ArraySpec(FLOAT, 1, low=0, high=100.01)}
    target: ClassVar = {"ab": ArraySpec(FLOAT, 2, low=-128, high=128, size_of="L"),
                        "rgb": ArraySpec(PICTURE, 3, size_of="L")}
    output: ClassVar = {"ab": ArraySpec(FLOAT, 2, size_of="L"), "rgb": ArraySpec(PICTURE, 3, size_of="L"),
                        "drawn": ArraySpec(FLOAT, 2 * DRAWN, size_of="L")}
    optional_output = ("rgb", "drawn")
    defaults: ClassVar = {"size": 256}

    def check(self, settings: Mapping[str, Any]) -> None:
        """The size must leave something to see."""
        size = settings["size"]
        if isinstance(size, bool) or not isinstance(size, int) or not (size == 0 or size >= SHORTEST_SIDE):
            raise UserError(f"The size of colorization is {size!r}; it must be 0 (whole pictures) or a whole number of "
                            f"at least {SHORTEST_SIDE}.")

    def accepts(self, picture: np.ndarray, settings: Mapping[str, Any]) -> str | None:
        """Refuses grey and nearly grey pictures (no |a| or |b| above 5) and sides of less than 32 pixels."""
        if picture.shape[2] != 3:
            return "no colour channels"
        if min(picture.shape[:2]) < SHORTEST_SIDE:
            return f"smaller than {SHORTEST_SIDE} pixels"
        rows = max(1, 2**12 // picture.shape[1])  # few: the first coloured ones settle it
        strips = (picture[top:top + rows] for top in range(0, picture.shape[0], rows))
        coloured = any(np.abs(rgb_to_lab(strip)[..., 1:]).max() > NEAR_GREY for strip in strips)
        return None if coloured else "nearly grey"


def lab_sample(rgb: np.ndarray) -> Sample:
    """L and ab of an H x W x 3 uint8 picture, computed in float32 (exact to 1e-4)."""
    lab = rgb_to_lab(rgb.astype(np.float32) / np.float32(255))
    return Sample({"L": np.ascontiguousarray(lab[..., :1])}, {"ab": np.ascontiguousarray(lab[..., 1:]), "rgb": rgb})


TASK = Colorization()
