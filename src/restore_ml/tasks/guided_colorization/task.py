"""Guided colorization: Lab lightness and the colours of a few points in, Lab colour (ab) out.

Inputs: `L` as in colorization, `hint` (H x W x 2 float32, ab where a person gave a colour, else 0) and `hinted`
(H x W x 1 float32, 1 there, else 0: a hint of no colour is not the same as no hint). Setting: `size`, as in
colorization. The hints of tests and of training are drawn by `hints`.
"""

from __future__ import annotations

from typing import ClassVar

from restore_ml.arrays import ArraySpec
from restore_ml.kinds import FLOAT
from restore_ml.tasks.colorization.task import Colorization


class GuidedColorization(Colorization):
    """Which pictures it takes, and how they are cut, is as in colorization."""

    name = "guided_colorization"
    inputs: ClassVar = {**Colorization.inputs, "hint": ArraySpec(FLOAT, 2, low=-128, high=128, size_of="L"),
                        "hinted": ArraySpec(FLOAT, 1, low=0, high=1, size_of="L")}
    output: ClassVar = {"ab": Colorization.output["ab"]}
    optional_output = ()  # type: ignore[assignment]


TASK = GuidedColorization()
