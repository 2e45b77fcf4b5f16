"""Several results of one picture, of methods that sample."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from restore_ml.method import Inputs
from restore_ml.seeds import derive
from restore_ml.tasks.colorization.task import DRAWN


def several(one: Callable[[int, int], Tensor], seed: int) -> Inputs:
    """What `restore` of a colorization that samples gives: `drawn`, the ab of DRAWN results (N x 16 x H x W), and `ab`,
    the first of them.

    `one(i, seed)` makes result i (N x 2 x H x W, Lab units); its seed is derive(seed, "draw", i).
    """
    results = [one(number, derive(seed, "draw", number)) for number in range(DRAWN)]
    return {"ab": results[0], "drawn": torch.cat(results, 1)}
