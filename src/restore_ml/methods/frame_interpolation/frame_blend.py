"""Both frames blended by their distance in time; below half a pixel of motion hardly anything is better."""

from __future__ import annotations

from typing import Any, ClassVar

from restore_ml.method import Inputs, Method, Model


class FrameBlend(Method):
    """(1 - t) I0 + t I1; nothing is trained. Source: the method card `flow_interp`."""

    task = "frame_interpolation"
    paper: ClassVar[dict[str, Any]] = {}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`frame` of `before` and `after` (N x 3 x H x W in [0, 1])."""
        time = inputs["percent"].to(inputs["before"]).view(-1, 1, 1, 1) / 100
        return {"frame": (1 - time) * inputs["before"] + time * inputs["after"]}


METHOD = FrameBlend
