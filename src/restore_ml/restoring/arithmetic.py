"""Which arithmetic a person's pictures are restored in: what was scored (fp32), or bf16 where that is as good.

Tables, promotion and the champion's standing are always computed in fp32. For `restore-ml restore`, `restore-ml serve`
and MLflow the rule `auto` takes bf16 when the task says that it wins enough, the processor multiplies bf16 fast (AMX)
and the model holds the tolerance: on no canary picture does an 8-bit value of the result differ from fp32 by more than
`LEVELS`, and over all of them the PSNR to the truth changes by at most `DECIBELS`. For enlarging, the canaries' hard
edges and pure colours are harder than photographs (20 layers of VDSR: 8 levels on them, 4 on photographs, so fp32; 8
layers of 32: 1 on both). The same model on the same kind of processor always gets the same answer: nothing is timed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from restore_ml import registry
from restore_ml.method import Method, Model
from restore_ml.restoring.harness import restore
from restore_ml.training import precision as arithmetic

CHOICES = ("auto", "fp32", "bf16")
LEVELS = 1
"""Largest difference between the 8-bit results."""
DECIBELS = 0.01
"""Largest change of the PSNR (over RGB; of what was missing, in inpainting)."""


@dataclass(frozen=True)
class Difference:
    """bf16 against fp32 on the canary pictures, in 8-bit levels, and the change of PSNR in dB."""

    largest: int
    mean: float
    decibels: float

    @property
    def tolerable(self) -> bool:
        """Whether a person may be given the one for the other."""
        return self.largest <= LEVELS and abs(self.decibels) <= DECIBELS


def choose(method: Method, model: Model, wanted: str = "auto") -> str:
    """`fp32` or `bf16` for a loaded model; `wanted` forces one. What has no networks is always computed in fp32."""
    if not model.networks:
        return "fp32"
    if wanted != "auto":
        return wanted
    photos = registry.photos(method.task)
    fast = photos is not None and photos.faster_in_bf16 and arithmetic.fast_cpu()
    return "bf16" if fast and tolerable(method, model) else "fp32"


def tolerable(method: Method, model: Model) -> bool:
    """Whether bf16 holds the tolerance on the canary pictures; a model that cannot restore them is left in fp32."""
    try:
        measured = difference(method, model)
    except Exception:  # restoring the person's picture will say what is wrong
        return False
    return measured is not None and measured.tolerable


def difference(method: Method, model: Model) -> Difference | None:
    """bf16 against fp32 over the canary pictures; None for a task or method that cannot restore them."""
    from restore_ml.promotion import canaries

    photos = registry.photos(method.task)
    degradation = next((name for name in (photos.probes(method) if photos else ())
                        if method.unsupported(name) is None), None)
    if photos is None or degradation is None:
        return None
    gaps, scored, faster, before = [], [], [], model.precision
    try:
        for sample in canaries.samples(method.task, degradation).values():
            missing = sample.inputs["mask"][..., 0] > 0 if "mask" in sample.inputs else np.s_[:]
            truth = photos.shown(sample.inputs, sample.target)[missing]
            shown = []
            for precision in ("fp32", "bf16"):
                model.precision = precision
                output = restore(method, model, sample.inputs, 1)
                shown.append(photos.shown(sample.inputs, output)[missing])
            gaps.append(_apart(*shown))
            scored.append(_apart(shown[0], truth))
            faster.append(_apart(shown[1], truth))
    finally:
        model.precision = before
    gap = np.concatenate(gaps)
    fp32, bf16 = (max(float(np.mean(np.concatenate(errors) ** 2)), 1e-9) for errors in (scored, faster))
    return Difference(int(gap.max()), float(gap.mean()), 10 * math.log10(fp32 / bf16))


def _apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.abs(one.astype(np.int64) - other).ravel()
