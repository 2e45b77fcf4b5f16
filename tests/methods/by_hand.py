"""What the tests share that compare a method's terms with values computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from restore_ml.method import Context, Player


class Calls(nn.Module):
    """A network by a function, with what it was called with."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function, self.calls = function, []  # type: ignore[var-annotated]

    def forward(self, *arguments: Any) -> Tensor:
        self.calls.append(arguments)
        return self.function(*arguments)


def step_with(inputs: dict[str, Tensor], target: dict[str, Tensor], networks: dict[str, nn.Module],
              features: Any = None) -> Context:
    """One training step on these tensors."""
    count = len(next(iter(target.values())))
    return Context(inputs, target, ["a" * 64] * count, networks, step=0, steps=10,
                   generator=torch.Generator().manual_seed(0), slots={"features": features})


def optimiser_of(player: Player, networks: dict[str, nn.Module]) -> torch.optim.Optimizer:
    """The player's optimiser of the parameters that it moves."""
    return player.optimiser([(f"{network}.{name}", parameter) for network in player.networks
                             for name, parameter in networks[network].named_parameters()])


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Uniform values in [0, 1)."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))
