"""The one training loop: every kind of method that learns by gradients runs through `fit_networks`.

It owns precision, gradients, clipping, schedules, EMA, the NaN guard, checkpoints and resume. What a method adds is
its networks, phases and objectives (`restore_ml.method`). Every step seeds torch from (seed, phase, step), so nothing
random has to be saved and a resumed run draws what an uninterrupted one would have drawn.

With several processes (`accelerate launch`) each takes an equal share of the batch; gradients, loss terms and running
statistics of normalisation are averaged over them each step, so that all hold the same weights. The main process alone
writes. A step's own draws (dropout, noise) and BatchNorm's batch statistics are those of a process's share.
"""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from restore_ml.method import Context, Method, Phase, Player
from restore_ml.seeds import derive
from restore_ml.training import checkpoint, precision, processes
from restore_ml.training.ema import Average
from restore_ml.training.history import History
from restore_ml.training.sampler import Batch, Sampler, Steps

Progress = Callable[[str, int, int, float], None]
"""progress(phase, steps done, steps of the whole training, loss)"""


class Diverged(Exception):
    """A loss term or a gradient is not finite: the sentence names the step, the term and the pictures."""


@dataclass
class Job:
    """What the loop is given: the method, its run's facts, where samples come from and where checkpoints go."""

    method: Method
    run: str
    seed: int
    sampler: Sampler
    folder: Path
    precision: str = "fp32"
    slots: Mapping[str, Any] = field(default_factory=dict)
    workers: int = 0
    checkpoint_seconds: float = 60.0
    progress: Progress | None = None


@dataclass
class Training:
    """The state of a training: all that a checkpoint holds."""

    networks: dict[str, nn.Module]
    average: Average
    state: dict[str, Tensor]
    history: History
    optimisers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    operations: dict[str, int] = field(default_factory=dict)
    phase: int = 0
    step: int = 0
    done: int = 0
    began: int = 0
    """The steps that were done before, when this process went on from a checkpoint."""


def fit_networks(job: Job) -> Training:
    """Train from the start, or from the checkpoint in `job.folder`, to the end of the last phase.

    Raises:
        Diverged: a loss term or a gradient became NaN or infinite, in all processes at once; the last checkpoint
            before it stays.
        restore_ml.training.processes.PeerLost: another process of the training ended before its time.
    """
    process = PartialState(cpu=not torch.cuda.is_available())
    phases = job.method.phases()
    total = sum(phase.steps for phase in phases)
    training = _start(job, process)
    processes.wait(process)  # an unfinished training that is to be forgotten is gone by now
    path = job.folder / "checkpoint.safetensors"
    if path.exists():
        _resume(training, job, phases, path, process)
        training.began = training.done
    else:
        training.history.cut(0)
    processes.assert_equal(_held(training), process)
    batches, saved = _batches(job, training.done, total), time.monotonic()
    for number in range(training.phase, len(phases)):
        phase = phases[number]
        if training.phase != number:
            training.phase, training.step = number, 0
        _enter(training, phase)
        while training.step < phase.steps:
            loss = _step(job, training, phase, next(batches), process)
            training.step, training.done = training.step + 1, training.done + 1
            if job.progress:
                job.progress(phase.name, training.done, total, loss)
            if processes.main_says(time.monotonic() - saved >= job.checkpoint_seconds, process):
                _save(job, training, path, process)
                saved = time.monotonic()
    processes.assert_equal(_held(training), process)
    _save(job, training, path, process)
    return training


def _batches(job: Job, first: int, last: int) -> Iterator[Batch[np.ndarray]]:
    """The batches of the steps that are left, made by worker processes or, with none, in this one."""
    steps = Steps(job.sampler, first, last)
    if not job.workers:
        return map(steps.__getitem__, range(len(steps)))
    return iter(DataLoader(steps, batch_size=None, num_workers=job.workers,  # type: ignore[arg-type]
                           multiprocessing_context="spawn"))


def _held(training: Training) -> Iterator[Tensor]:
    """Everything that must be equal in all processes."""
    for network in (*training.networks.values(), *training.average.networks.values()):
        yield from network.state_dict().values()


def _start(job: Job, process: PartialState) -> Training:
    _seed(derive(job.seed, job.run, "init"), process.device)
    networks = {name: network.to(process.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
                for name, network in job.method.networks().items()}
    kept = {name: networks[name] for name in job.method.restores_with}
    average = Average(kept, float(job.method.settings.get("ema") or 0.0))
    history = History(job.folder / "history.csv", process.is_main_process)
    return Training(networks, average, job.method.extra_state(), history)


def _enter(training: Training, phase: Phase) -> None:
    """Training mode (but for frozen normalisation) and the optimisers of the phase; one that played before goes on."""
    for name, network in training.networks.items():
        network.train()
        if name in phase.frozen_norm:
            for module in network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
    for player in phase.players:
        if player.name not in training.optimisers:
            training.optimisers[player.name] = _optimiser(training, player)


def _optimiser(training: Training, player: Player) -> torch.optim.Optimizer:
    optimiser = player.optimiser([p for name in player.networks for p in training.networks[name].parameters()])
    for group in optimiser.param_groups:
        group["initial_lr"] = group["lr"]
    return optimiser


def _step(job: Job, training: Training, phase: Phase, batch: Batch[np.ndarray], process: PartialState) -> float:
    """Let every player whose turn it is play once; returns the sum of all loss terms."""
    device, step = process.device, training.step
    what = job.seed, job.run, phase.name, step, process.process_index
    _seed(derive(*what), device)
    draws = torch.Generator().manual_seed(derive(*what, "draws"))
    ready = job.sampler.floats(batch, device)
    context = Context(ready.inputs, ready.target, batch.ids, training.networks, step=step, steps=phase.steps,
                      generator=draws, slots=job.slots, state=training.state)
    seen: dict[str, float] = {}
    for player in phase.players:
        if step % player.every == 0:
            seen |= _play(job, training, phase, player, context, process)
    if process.num_processes > 1:  # the walk through all modules is felt in small networks
        processes.average([buffer for network in training.networks.values() for buffer in network.buffers()
                           if buffer.is_floating_point()], process)
    training.average.update(training.done)
    training.history.add(phase.name, step, phase.steps, seen)
    return sum(seen.values())


def _seed(number: int, device: torch.device) -> None:
    """Seed what a step on the device draws from: `torch.manual_seed`, which without a card formats a stack trace for
    each kind of card that it might find later (0.3 ms)."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(number)
    else:
        torch.manual_seed(number)


def _play(job: Job, training: Training, phase: Phase, player: Player, context: Context,
          process: PartialState) -> dict[str, float]:
    optimiser = training.optimisers[player.name]
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * player.schedule(context.step, context.steps)
    optimiser.zero_grad(set_to_none=True)
    key = f"{phase.name}.{player.name}"
    counter = FlopCounterMode(display=False) if key not in training.operations else None
    if counter:
        with counter:
            terms = _backward(job, player, context, parameters, process.device.type)
        training.operations[key] = counter.get_total_flops() // 2 * process.num_processes  # multiply-adds
    else:
        terms = _backward(job, player, context, parameters, process.device.type)
    gradients = [p.grad for p in parameters if p.grad is not None]
    means = torch.stack([term.detach().float() for term in terms.values()])
    processes.average([means, *gradients], process)  # what is not finite in one process is not finite in the mean
    values = dict(zip(terms, means.tolist(), strict=True))
    ids = context.ids if process.num_processes == 1 else job.sampler.ids(training.done)
    _guard(values, player, context, ids)
    norm = torch.nn.utils.get_total_norm(gradients)
    if not math.isfinite(norm.item()):
        raise Diverged(_sentence(f"the gradient of {player.name}", context.step, ids, context))
    if player.clip_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(parameters, player.clip_norm, norm)
    if player.clip_value is not None:
        torch.nn.utils.clip_grad_value_(parameters, player.clip_value(optimiser.param_groups[0]["lr"]))
    optimiser.step()
    return {f"{player.name}.{name}": value for name, value in values.items()}


def _backward(job: Job, player: Player, context: Context, parameters: list[nn.Parameter],
              device_type: str) -> dict[str, Tensor]:
    """Gradients of the player's own parameters alone: the others' are not even computed."""
    with precision.autocast(device_type, job.precision):
        terms = player.loss(context)
        total = reduce(operator.add, (term.float() for term in terms.values()))
    total.backward(inputs=parameters)
    return terms


def _guard(values: dict[str, float], player: Player, context: Context, ids: list[str]) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise Diverged(_sentence(f"the loss term {player.name}.{name} is {value}", context.step, ids, context))


def _sentence(what: str, step: int, ids: list[str], context: Context | None = None) -> str:
    verb = "" if " is " in what else " is not finite"
    broken = [] if context is None else _not_finite(context)
    cause = f", of which {_pictures(broken)} brought values that are not finite" if broken else ""
    return f"Training stopped at step {step}: {what}{verb}; the batch held the pictures {_pictures(ids)}{cause}."


def _pictures(ids: list[str]) -> str:
    return ", ".join(dict.fromkeys(identity[:12] for identity in ids))


def _not_finite(context: Context) -> list[str]:
    """The pictures of the step whose own samples are not finite."""
    arrays = [*context.inputs.values(), *context.target.values()]
    return [identity for place, identity in enumerate(context.ids)
            if not all(torch.isfinite(array[place]).all() for array in arrays)]


def _save(job: Job, training: Training, path: Path, process: PartialState) -> None:
    """Write a checkpoint, if all weights are finite: the step that broke them is told by its successor's loss only."""
    tensors: dict[str, Tensor] = {}
    for name, network in training.networks.items():
        tensors |= checkpoint.network_tensors(f"network.{name}", network)
    tensors |= training.average.tensors("average")
    broken = checkpoint.not_finite(tensors)
    if broken:
        raise Diverged(_sentence(f"the weight {broken.partition('.')[2]}", training.step - 1,
                                 job.sampler.ids(training.done - 1)))
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


def _state(rank: int, name: str) -> str:
    """The name in a checkpoint of a method's own tensor: each process has its own."""
    return f"state.{name}" if rank == 0 else f"state@{rank}.{name}"


def _resume(training: Training, job: Job, phases: list[Phase], path: Path, process: PartialState) -> None:
    tensors, values = checkpoint.load(path)
    for name, network in training.networks.items():
        checkpoint.fill_network(f"network.{name}", network, tensors)
    training.average.fill("average", tensors)
    training.state.clear()
    training.state.update({name: tensors[_state(process.process_index, name)] for name in values["state"]})
    players = {player.name: player for phase in reversed(phases) for player in phase.players}
    for name, entry in values["optimisers"].items():
        training.optimisers[name] = _optimiser(training, players[name])
        checkpoint.fill_optimiser(f"optimiser.{name}", training.optimisers[name], tensors, entry)
    training.phase, training.step, training.done = values["phase"], values["step"], values["done"]
    training.operations = dict(values["operations"])
    training.history.cut(values["history"])
