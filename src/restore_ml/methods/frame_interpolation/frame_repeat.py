"""The frame before, once more: what a film of a low rate shows. The floor of frame interpolation."""

from __future__ import annotations

from typing import Any, ClassVar

from restore_ml.method import Inputs, Method, Model


class FrameRepeat(Method):
    """Nothing is trained. Source: the method card `flow_interp`."""

    task = "frame_interpolation"
    paper: ClassVar[dict[str, Any]] = {}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`frame` is `before` (N x 3 x H x W in [0, 1])."""
        return {"frame": inputs["before"].clone()}


METHOD = FrameRepeat
