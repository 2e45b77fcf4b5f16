"""The picture that was given, as it is: what a translation must be better than."""

from __future__ import annotations

from typing import Any, ClassVar

from restore_ml.method import Inputs, Method, Model


class CopyInput(Method):
    """Nothing is trained. Source: part 8 of the cross-domain cards."""

    task = "sketch_photo"
    paper: ClassVar[dict[str, Any]] = {}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`picture` is `source` (N x 3 x H x W in [0, 1])."""
        return {"picture": inputs["source"].clone()}


METHOD = CopyInput
