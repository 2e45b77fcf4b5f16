"""The network of an AEUN run (see `aeun`) when nobody tells it the attributes: it gets the training faces' mean.

The row beside `aeun` that the criticism of the method asks for: with true attributes it is told something about the
very face that the others have to guess. It trains nothing: it restores with the model of the run in its slot `parts`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from restore_ml.method import Inputs, Method, Model
from restore_ml.methods.face_super_resolution.aeun import Aeun


class AeunMean(Method):
    """`patch` and `kinds`: those of the AEUN run, which say what it can do."""

    task = "face_super_resolution"
    paper: ClassVar[dict[str, Any]] = {"patch": 128, "kinds": ["plain"]}
    reading = "the mean of the training faces stands for attributes that nobody gives"
    restoring_slots = ("parts",)

    def unsupported(self, degradation: str) -> str | None:
        """What the run in the slot cannot do."""
        return Aeun(self.settings).unsupported(degradation)

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` to `sr` as AEUN does, without attributes."""
        method, other = model.slots["parts"]
        return method.restore(other, {name: value for name, value in inputs.items() if name != "attributes"}, seed)


METHOD = AeunMean
