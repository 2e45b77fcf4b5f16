"""The damaged picture as it is: the floor of every table of restoration."""

from __future__ import annotations

from typing import Any, ClassVar

from restore_ml.method import Inputs, Method, Model


class Identity(Method):
    """Nothing is done."""

    task = "restoration"
    paper: ClassVar[dict[str, Any]] = {}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`image` N x 3 x H x W in [0, 1] -> the same."""
        return {"image": inputs["image"].clone()}


METHOD = Identity
