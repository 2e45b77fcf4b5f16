"""Optimisation while a picture is restored: of its pixels (style transfer) or of a network (deep image prior)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from restore_ml.base.errors import SettingError


def optimise(parameters: Sequence[Tensor], loss: Callable[[int], Tensor],
             optimiser: Callable[[list[Tensor]], torch.optim.Optimizer], steps: int,
             after: Callable[[int], None] | None = None) -> float:
    """Move `parameters`, in place, down `loss(step)` for `steps` of the optimiser; returns the last loss.

    `parameters`: leaves of any kind: a network's, or a picture of pixels (`image.clone().requires_grad_()`).
    `loss(step)`: a scalar, computed anew from the parameters; L-BFGS asks for it several times a step, and what is
    random in it must then depend on the step alone. `optimiser(parameters)`: such as `lambda p: torch.optim.Adam(p,
    0.01)` or `torch.optim.LBFGS`. `after(step)`: runs after each step without gradients (clamps pixels).

    Gradients are enabled whatever the caller's mode, and only `parameters` get one. torch's global random state is left
    alone.

    Raises:
        SettingError: for less than one step.
        FloatingPointError: the loss is not finite; the sentence has the step.
    """
    if steps < 1:
        raise SettingError(f"The picture cannot be optimised in {steps} steps; set `steps` of the run to 1 or more.")
    leaves = list(parameters)
    mover, last = optimiser(leaves), float("nan")

    @torch.enable_grad()
    def evaluate(step: int) -> Tensor:
        nonlocal last
        mover.zero_grad(set_to_none=True)
        value = loss(step)
        last = value.item()
        if not math.isfinite(last):
            raise FloatingPointError(f"the loss on the picture is not finite at step {step}")
        value.backward(inputs=leaves)
        return value

    for step in range(steps):
        mover.step(lambda number=step: evaluate(number))  # type: ignore[arg-type,misc]
        if after is not None:
            with torch.no_grad():
                after(step)
    return last


class RunningMean:
    """The exponential average of what is added, corrected for its start: with decay 0 the last value."""

    def __init__(self, decay: float) -> None:
        self.decay, self.count, self.total = decay, 0, torch.zeros(())

    def add(self, value: Tensor) -> None:
        """One more value, of the shape of the others."""
        self.total = self.decay * self.total + (1 - self.decay) * value.detach()
        self.count += 1

    @property
    def value(self) -> Tensor:
        """The average of at least one value."""
        return self.total / (1 - self.decay ** self.count)
