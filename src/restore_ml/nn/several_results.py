"""Several results of one picture, of methods that sample."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from restore_ml.method import Inputs
from restore_ml.seeds import derive
from restore_ml.tasks.colorization.task import DRAWN


def several(one: Callable[[int], Tensor], seed: int) -> Inputs:
    """What `restore` of a colorization that samples gives: `drawn`, the ab of DRAWN results (N x 16 x H x W), and `ab`,
    the first of them. `one` makes a result (N x 2 x H x W, Lab units) from a seed, which of the number i is
    derive(seed, "draw", i)."""
    results = [one(derive(seed, "draw", number)) for number in range(DRAWN)]
    return {"ab": results[0], "drawn": torch.cat(results, 1)}
