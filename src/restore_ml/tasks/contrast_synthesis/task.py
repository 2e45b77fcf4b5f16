"""Contrast synthesis: a slice of a brain in some contrasts of magnetic resonance in, the missing contrasts out.

Inputs: `contrasts` (H x W x 5 uint8 in the order of CONTRASTS; a contrast that is not given is zero), `given` (5
numbers, 1 where a contrast is given) and `wanted` (5 numbers, 1 where one is asked for). A contrast may be neither: a
patient never had it. Target: `truth` (all contrasts that the patient has, the given ones too; zero where `there` is 0),
`there` and `labels` (0 background, 1 necrosis, 2 edema, 3 enhancing tumour; zeros where nobody has drawn any).
Output: `contrasts`, the given ones bit for bit, the wanted ones as they were made, zero where a contrast is neither.
Source: the method cards, part 2.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import Arrays, ArraySpec
from restore_ml.base.errors import UserError
from restore_ml.kinds import LABELS, PICTURE, VECTOR
from restore_ml.tasks.base import Task

CONTRASTS = ("t1", "t1ce", "t2", "pd", "flair")
"""The order of the channels, that of the brains of `restore_ml.data.domains`."""
SMALLEST = 32
COUNT = len(CONTRASTS)


class ContrastSynthesis(Task):
    """See the module's docstring."""

    name = "contrast_synthesis"
    roles: ClassVar = {"slice": "brains"}
    inputs: ClassVar = {"contrasts": ArraySpec(PICTURE, COUNT), "given": ArraySpec(VECTOR, COUNT, 0, 1),
                        "wanted": ArraySpec(VECTOR, COUNT, 0, 1)}
    target: ClassVar = {"truth": ArraySpec(PICTURE, COUNT, size_of="contrasts"),
                        "there": ArraySpec(VECTOR, COUNT, 0, 1),
                        "labels": ArraySpec(LABELS, 4, high=3, size_of="contrasts")}
    output: ClassVar = {"contrasts": ArraySpec(PICTURE, COUNT, size_of="contrasts")}

    def accepts(self, picture: np.ndarray, settings: Mapping[str, Any]) -> str | None:
        """Refuses slices of one contrast alone, and with a side below 32 pixels."""
        if min(picture.shape[:2]) < SMALLEST:
            return f"a side is below {SMALLEST} pixels"
        return None if picture.any(axis=(0, 1)).sum() > 1 else "one contrast alone: nothing to make another one from"

    def compose(self, inputs: Arrays, output: Arrays) -> Arrays:
        """The output's contrasts where they are wanted, the untouched input elsewhere."""
        made = np.where(inputs["wanted"] > 0, output["contrasts"], inputs["contrasts"])
        return {**output, "contrasts": made}


def missing_contrasts(degradation: str) -> tuple[int, ...]:
    """The channels that a degradation takes away. `UserError` for an unknown name.

    >>> missing_contrasts("missing_t1ce_flair")
    (1, 4)
    """
    start, *names = degradation.split("_")
    known = [CONTRASTS.index(name) for name in names if name in CONTRASTS]
    if start != "missing" or len(known) != len(names) or known != sorted(set(known)) or not 0 < len(known) < COUNT:
        raise UserError(f"{str(degradation)[:100]!r} is no degradation of contrast_synthesis; write missing_t2, "
                        f"missing_t1ce_flair ..., of {', '.join(CONTRASTS)} in this order, but not all of them.")
    return tuple(known)


TASK = ContrastSynthesis()
