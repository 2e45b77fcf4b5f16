"""What networks that enlarge faces of one size share: which faces they take, and how training faces are shown."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from restore_ml.degradations.resize import imresize
from restore_ml.method import Context, Inputs, Method
from restore_ml.tasks.face_super_resolution.cases import parse_degradation
from restore_ml.tasks.face_super_resolution.task import KINDS, SCALE


class FaceEnlarger(Method):
    """A method for faces of one size, with these settings among its own.

    `patch`: height and width of the faces, 64 or 128, those of the task. `kinds`: the degradations that it is trained
    on, one drawn a sample. `jitter`: largest relative change of a training face's gain and offset, a draw a channel;
    0 for none.
    """

    task = "face_super_resolution"

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the size and the kinds of degradation."""
        super().__init__(settings)
        if self.settings["patch"] not in (64, 128):
            raise self.wrong("patch", "it must be 64 or 128")
        unknown = [kind for kind in self.settings["kinds"] if kind not in KINDS]
        if unknown or not self.settings["kinds"]:
            raise self.wrong("kinds", f"it must name some of {', '.join(KINDS)}")

    def unsupported(self, degradation: str) -> str | None:
        """Another size of faces, and kinds that it was not trained on."""
        size, kind = parse_degradation(degradation)
        if size != self.settings["patch"]:
            return f"made for faces of {self.settings['patch']} pixels"
        return None if kind in self.settings["kinds"] else "not trained on it (its setting `kinds`)"

    def small_faces(self, inputs: Inputs) -> Tensor:
        """`lr` of a batch to restore; `UserError` for another size than the network's own."""
        side, (height, width) = self.settings["patch"] // SCALE, inputs["lr"].shape[2:]
        if (height, width) != (side, side):
            raise self.wrong("patch", f"its network takes faces of {side} x {side} pixels, not {width} x {height}")
        return inputs["lr"]

    def shown(self, context: Context) -> tuple[Tensor, Tensor]:
        """The small faces and the true ones of a step, in [0, 1] or a little beyond with `jitter`: each channel of a
        face is multiplied by 1 + u and v is added, u and v uniform up to `jitter`. Making a face small keeps that."""
        return context.once("shown", lambda: self.lit(context, context.inputs["lr"], context.target["hr"]))

    def lit(self, context: Context, small: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        """These faces in other light, by new draws of the step."""
        if not self.settings["jitter"]:
            return small, true
        gain, offset = context.uniform(small.new_empty(2, *small.shape[:2], 1, 1), -self.settings["jitter"],
                                       self.settings["jitter"])
        return (1 + gain) * small + offset, (1 + gain) * true + offset


def bicubic(small: Tensor) -> Tensor:
    """N x C x h x w, enlarged eight times."""
    return imresize(small, float(SCALE))


def centred(pictures: Tensor) -> Tensor:
    """[0, 1] to [-1, 1]."""
    return 2 * pictures - 1


def to_unit(pictures: Tensor) -> Tensor:
    """[-1, 1] to [0, 1], clipped, as float32."""
    return ((pictures.float() + 1) / 2).clip(0, 1)


def known_mean(values: Tensor, known: Tensor) -> Tensor:
    """The mean of those values whose entry in `known` is true; 0 where there is none."""
    weights = known.to(values.dtype)
    return torch.where(known, values, torch.zeros_like(values)).sum() / weights.sum().clamp(min=1)
