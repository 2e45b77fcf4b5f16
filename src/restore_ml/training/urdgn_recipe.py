"""How URDGN is trained, and TDAE after it: two players of whom the stronger one rests, rates and weights that fall.

Source: Yu, Porikli, Ultra-resolving face images by discriminative generative networks, ECCV 2016; rates, weights and
the margin were read in the authors' released code. AEUN has the same with a third kind of example for its
discriminator.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from restore_ml.losses.adversarial import discriminator_terms
from restore_ml.method import NamedParameters
from restore_ml.training.schedules import Schedule

WARM_UP = ((50, 1 / 50), (100, 1 / 5))
"""Before the step, the factor on the rate."""
LOWEST_RATE = 1e-6


def errors(judge: nn.Module, truth: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
    """The discriminator's mean cross-entropy on true faces (1) and on made ones (0), whose generator it does not move.

    Its objective is the mean of both, as the released code averages over a batch that is half true, half made.
    """
    terms = discriminator_terms("bce", judge(truth), judge(made.detach()))
    return terms["real"], terms["fake"]


def who_plays(real: Tensor, fake: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """1 or 0 for the discriminator and for the generator, from the discriminator's two errors; no gradient flows.

    The discriminator rests while it is too good (one of its errors below `margin`), the generator while the
    discriminator is too bad (one of them above 1 - `margin`); both play where both would rest. With a margin of 0 both
    always play. A player's terms times its number are its objective; `rest` makes a step of zeros none.
    """
    real, fake = real.detach(), fake.detach()
    if margin <= 0:
        return torch.ones_like(real), torch.ones_like(real)
    good = torch.minimum(real, fake) < margin
    bad = torch.maximum(real, fake) > 1 - margin
    both = good & bad
    return (~good | both).to(real.dtype), (~bad | both).to(real.dtype)


def adversarial_weight(epoch: int, first: float, decay: float, floor: float) -> float:
    """`first` times `decay` an epoch, but not below `floor`."""
    return max(first * decay ** epoch, floor)


def falling_rate(lr: float, decay: float, epoch_steps: int) -> Schedule:
    """A fiftieth of the rate `lr` for 50 steps and a fifth for 50 more; `decay` an epoch, down to a rate of 1e-6."""

    def schedule(step: int, steps: int) -> float:
        warm = next((factor for end, factor in WARM_UP if step < end), 1.0)
        return warm * max(decay ** (step // epoch_steps), LOWEST_RATE / lr)

    return schedule


def optimiser(kind: str, lr: float, parameters: NamedParameters) -> torch.optim.Optimizer:
    """`rmsprop` as published, or `adam` with DCGAN's momenta; a player that is stopped moves nothing (`rest`)."""
    made: torch.optim.Optimizer
    if kind == "adam":
        made = torch.optim.Adam(parameters, lr, betas=(0.5, 0.999))
    else:
        made = torch.optim.RMSprop(parameters, lr, alpha=0.9, eps=1e-8)
    made.register_step_pre_hook(rest)
    return made


def rest(optimiser: torch.optim.Optimizer, *_: Any) -> None:
    """Before a step: where all gradients are zero, as of a player who rests, take them away, so that the step changes
    neither weights (Adam's momentum would move them) nor the optimiser's averages."""
    parameters = [p for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
    if not any(p.grad.any() for p in parameters):
        for parameter in parameters:
            parameter.grad = None
