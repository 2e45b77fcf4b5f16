"""What the networks of face super-resolution share that are made for faces of one size: which cases they can do, the
size that they refuse, and training faces in other light."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from restore_ml.method import Context, Inputs, Method
from restore_ml.tasks.face_super_resolution.cases import parse_degradation
from restore_ml.tasks.face_super_resolution.task import KINDS, SCALE


class FixedFaces(Method):
    """A method that restores faces of `patch` x `patch` pixels from an eighth of it.

    Its settings have `patch`, 64 or 128, the task's own `size`; `kinds`, the degradations that it is trained on, one
    drawn a sample; and `jitter`, the largest relative change of a training face's gain and offset, a draw a channel.
    """

    task = "face_super_resolution"
    choices: ClassVar = {"patch": (128, 64)}

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the kinds of degradation."""
        super().__init__(settings)
        unknown = [kind for kind in self.settings["kinds"] if kind not in KINDS]
        if unknown or not self.settings["kinds"]:
            raise self.wrong("kinds", f"it must name some of {', '.join(KINDS)}")

    def unsupported(self, degradation: str) -> str | None:
        """Another size of faces, and kinds that it was not trained on."""
        size, kind = parse_degradation(degradation)
        if size != self.settings["patch"]:
            return f"made for faces of {self.settings['patch']} pixels"
        return None if kind in self.settings["kinds"] else "not trained on it (its setting kinds)"

    def small(self, inputs: Inputs) -> Tensor:
        """`lr` of what is to be restored; `UserError` for another size than the network's own."""
        side, (height, width) = self.settings["patch"] // SCALE, inputs["lr"].shape[2:]
        if (height, width) != (side, side):
            raise self.wrong("patch", f"its network takes faces of {side} x {side} pixels, not {width} x {height}")
        return inputs["lr"]

    def faces(self, context: Context) -> tuple[Tensor, Tensor]:
        """The step's small faces and true ones, in other light where the run has `jitter`, by draws of the step."""
        return context.once("faces", lambda: self.lit(context, context.inputs["lr"], context.target["hr"]))

    def lit(self, context: Context, lr: Tensor, hr: Tensor) -> tuple[Tensor, Tensor]:
        """Small faces and true ones in other light, by new draws: each channel of a face is multiplied by 1 + u and v
        is added, u and v uniform up to `jitter`; values may leave [0, 1]. The same is done to both, and making a face
        small keeps it. Without `jitter` they stay as they are."""
        jitter = self.settings["jitter"]
        if not jitter:
            return lr, hr
        gain, offset = context.uniform(lr.new_empty(2, *lr.shape[:2], 1, 1), -jitter, jitter)
        return (1 + gain) * lr + offset, (1 + gain) * hr + offset
