"""Optimisation on the picture itself: what deep-image-prior methods do while they restore. No training precedes it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def optimise(network: nn.Module, given: Tensor, loss: Callable[[Tensor], Tensor], steps: int, lr: float, seed: int,
             average: float = 0.99, jitter: float = 0.0) -> tuple[Tensor, int]:
    """Fit a fresh network to one picture with Adam; returns (average of its outputs, steps done).

    Each step the network sees `given` plus Gaussian noise of standard deviation `jitter`, drawn from `seed`, and moves
    down `loss(output)`. `average`: decay of the exponential average of the outputs over steps, corrected for its
    start (0: the last output). Gradients are enabled whatever the caller's mode. A loss that is not finite raises
    `FloatingPointError` with the step. The same arguments give the same result on one machine; torch's global random
    state is left alone.
    """
    optimiser = torch.optim.Adam(network.parameters(), lr)
    draws = torch.Generator().manual_seed(seed)
    total = torch.zeros(())
    with torch.enable_grad():
        for step in range(steps):
            noise = torch.randn(given.shape, generator=draws).to(given.device) * jitter if jitter else 0.0
            optimiser.zero_grad(set_to_none=True)
            output = network(given + noise)
            value = loss(output)
            if not torch.isfinite(value.detach()):
                raise FloatingPointError(f"the loss on the picture is not finite at step {step}")
            value.backward()
            optimiser.step()
            total = average * total + (1 - average) * output.detach()
    return total / (1 - average ** steps), steps
