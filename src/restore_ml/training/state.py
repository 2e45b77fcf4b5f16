"""The state of a training: all that a checkpoint holds, how it is written and how a training goes on from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import PartialState
from torch import Tensor, nn

from restore_ml.method import Phase, Player
from restore_ml.training import checkpoint, processes
from restore_ml.training.divergence import Diverged, sentence
from restore_ml.training.ema import Average
from restore_ml.training.history import History


@dataclass
class Training:
    """Networks, their average, the method's own tensors, optimisers, and how far it has come."""

    networks: dict[str, nn.Module]
    average: Average
    state: dict[str, Tensor]
    history: History
    optimisers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    operations: dict[str, int] = field(default_factory=dict)
    """Multiply-adds of a turn of each `phase.player`."""
    phase: int = 0
    step: int = 0
    """Within the phase; `done` counts all phases."""
    done: int = 0
    began: int = 0
    """The steps that were done before, when this process went on from a checkpoint."""

    def replicated(self) -> Iterator[Tensor]:
        """Everything that must be equal in all processes."""
        for network in (*self.networks.values(), *self.average.networks.values()):
            yield from network.state_dict().values()

    def add_optimiser(self, player: Player) -> torch.optim.Optimizer:
        """A player's optimiser, fresh; its groups remember their initial rate."""
        optimiser = player.optimiser([(f"{name}.{key}", parameter) for name in player.networks
                                      for key, parameter in self.networks[name].named_parameters()])
        for group in optimiser.param_groups:
            group["initial_lr"] = group["lr"]
        self.optimisers[player.name] = optimiser
        return optimiser


def save(training: Training, path: Path, process: PartialState, ids: Callable[[int], list[str]]) -> None:
    """Write a checkpoint, if all weights are finite; `ids(step)`: the pictures of a step of the whole training.

    Raises `Diverged` for a weight that is not: the step that broke it is otherwise told by its successor's loss only.
    """
    tensors: dict[str, Tensor] = {}
    for name, network in training.networks.items():
        tensors |= checkpoint.network_tensors(f"network.{name}", network)
    tensors |= training.average.tensors("average")
    broken = checkpoint.not_finite(tensors)
    if broken:
        raise Diverged(sentence(f"the weight {broken.partition('.')[2]} is not finite", training.step - 1,
                                ids(training.done - 1)))
    states = processes.of_all(training.state, process)
    if not process.is_main_process:
        return
    tensors |= {_state(rank, name): value for rank, state in enumerate(states) for name, value in state.items()}
    optimisers = {}
    for name, optimiser in training.optimisers.items():
        part, optimisers[name] = checkpoint.optimiser_tensors(f"optimiser.{name}", optimiser)
        tensors |= part
    training.history.flush()
    checkpoint.save(path, tensors, {"phase": training.phase, "step": training.step, "done": training.done,
                                    "operations": training.operations, "optimisers": optimisers,
                                    "history": training.history.length, "state": sorted(training.state)})


def resume(training: Training, phases: Sequence[Phase], path: Path, process: PartialState) -> None:
    """Go on from the checkpoint that `save` wrote."""
    tensors, values = checkpoint.load(path)
    for name, network in training.networks.items():
        checkpoint.fill_network(f"network.{name}", network, tensors)
    training.average.fill("average", tensors)
    training.state.clear()
    training.state.update({name: tensors[_state(process.process_index, name)].to(process.device)
                           for name in values["state"]})
    players = {player.name: player for phase in reversed(phases) for player in phase.players}
    for name, entry in values["optimisers"].items():
        checkpoint.fill_optimiser(f"optimiser.{name}", training.add_optimiser(players[name]), tensors, entry)
    training.phase, training.step, training.done = values["phase"], values["step"], values["done"]
    training.began = training.done
    training.operations = dict(values["operations"])
    training.history.cut(values["history"])


def _state(rank: int, name: str) -> str:
    """The name in a checkpoint of a method's own tensor: each process has its own."""
    return f"state.{name}" if rank == 0 else f"state@{rank}.{name}"
