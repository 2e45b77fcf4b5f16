"""Bicubic interpolation: the first row of every table."""

from __future__ import annotations

from typing import Any, ClassVar

from restore_ml.degradations.resize import imresize
from restore_ml.method import Inputs, Method, Model


class Bicubic(Method):
    """MATLAB's imresize by the scale, per channel; nothing is trained."""

    task = "super_resolution"
    serves = ("face_super_resolution", "video_super_resolution")
    paper: ClassVar[dict[str, Any]] = {}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` (N x 3 x h x w) to `sr` (N x 3 x sh x sw), clipped to [0, 1] at the end only; every frame
        of a clip (N x T x 3 x h x w)."""
        return {"sr": imresize(inputs["lr"], float(inputs["scale"][0])).clip(0, 1)}


METHOD = Bicubic
