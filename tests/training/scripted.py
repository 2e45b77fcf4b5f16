"""A method made of what a test gives it, for promises of the loop that can be computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from restore_ml.method import Context, Method, Phase, Player
from restore_ml.training.loop import Job
from restore_ml.training.sampler import Sampler
from tests.training import toy


class Number(nn.Module):
    """One number that is learned; its gradient under `slope * value` is the slope."""

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor([float(start)]))


class Scripted(Method):
    task = "toy"
    paper = {"batch": 2, "patch": 8, "ema": 0.0}
    stored_networks = ("net",)

    def __init__(self, networks: Callable[[], dict[str, nn.Module]], phases: list[Phase], ema: float = 0.0,
                 state: dict[str, Tensor] | None = None, stored: tuple[str, ...] = ("net",)) -> None:
        super().__init__({"ema": ema})
        self.stored_networks = stored  # type: ignore[misc]
        self._networks, self._phases, self._state = networks, phases, state or {}

    def build(self) -> dict[str, nn.Module]:
        return self._networks()

    def phases(self) -> list[Phase]:
        return self._phases

    def extra_state(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self._state.items()}


def sgd(rate: float = 1.0, **options: Any):
    return lambda parameters: torch.optim.SGD(parameters, rate, **options)


def pull(name: str, slope: float | Callable[[Context], float] = 1.0):
    """A loss whose gradient for the number of network `name` is the slope."""
    def loss(context: Context) -> dict[str, Tensor]:
        value = slope(context) if callable(slope) else slope
        return {"pull": (value * context.networks[name].value).sum()}

    return loss


def player(name: str, slope: float | Callable[[Context], float] = 1.0, rate: float = 1.0, **options: Any) -> Player:
    """Pulls the number of the network of its own name down by rate * slope a step."""
    return Player(name, [name], pull(name, slope), options.pop("optimiser", sgd(rate)), **options)


def job(folder: Path, method: Scripted, **options: Any) -> Job:
    data = toy.material(folder / "samples") if not (folder / "samples").exists() else toy.Material(folder / "samples")
    return Job(method, "scripted", 7, Sampler(toy.PARTS, data, method.settings, 7), folder / "checkpoint",
               **options)
