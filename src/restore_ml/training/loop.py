"""The one training loop: every kind of method that learns by gradients runs through `fit_networks`.

It owns precision, gradients, clipping, schedules, EMA, the guard against NaN (`divergence`), checkpoints and resume
(`state`). What a method adds is its networks, phases and objectives (`restore_ml.method`). Every step seeds torch from
(seed, phase, step), so nothing random has to be saved and a resumed run draws what an uninterrupted one would have
drawn.

With several processes (`accelerate launch`) each takes an equal share of the batch; gradients, loss terms and running
statistics of normalisation are averaged over them each step, so that all hold the same weights. The main process alone
writes. A step's own draws (dropout, noise) and BatchNorm's batch statistics are those of a process's share.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from restore_ml.method import Context, Method, Phase, Player
from restore_ml.seeds import derive
from restore_ml.training import precision, processes, workers
from restore_ml.training.divergence import check
from restore_ml.training.ema import Average
from restore_ml.training.history import History
from restore_ml.training.sampler import Batch, Sampler, Steps
from restore_ml.training.state import Training, resume, save

Progress = Callable[[str, int, int, float], None]
"""progress(phase, steps done, steps of the whole training, loss)"""


@dataclass
class Job:
    """What the loop is given: the method and its run, where samples come from and where checkpoints go."""

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
        resume(training, phases, path, process)
    else:
        training.history.cut(0)
    processes.assert_equal(training.replicated(), process)
    batches, saved = workers.batches(Steps(job.sampler, training.done, total), job.workers), time.monotonic()
    for number in range(training.phase, len(phases)):
        phase = phases[number]
        if training.phase != number:
            training.phase, training.step = number, 0
            training.average.hand_over(_over(training, phases, number))
        _enter(training, phases, number)
        while training.step < phase.steps:
            loss = _step(job, training, phase, next(batches), process)
            training.step, training.done = training.step + 1, training.done + 1
            if job.progress:
                job.progress(phase.name, training.done, total, loss)
            if processes.main_says(time.monotonic() - saved >= job.checkpoint_seconds, process):
                save(training, path, process, job.sampler.ids)
                saved = time.monotonic()
    processes.assert_equal(training.replicated(), process)
    save(training, path, process, job.sampler.ids)
    return training


def _start(job: Job, process: PartialState) -> Training:
    _seed(derive(job.seed, job.run, "init"), process.device)
    networks = {name: network.to(process.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
                for name, network in job.method.networks().items()}
    kept = {name: networks[name] for name in job.method.stored_networks}
    average = Average(kept, float(job.method.settings.get("ema") or 0.0))
    history = History(job.folder / "history.csv", process.is_main_process)
    state = {name: value.to(process.device) for name, value in job.method.extra_state().items()}
    return Training(networks, average, state, history)


def _enter(training: Training, phases: Sequence[Phase], number: int) -> None:
    """Training mode (but for frozen normalisation) and the optimisers of the phase; one that played before goes on."""
    phase = phases[number]
    for name, network in training.networks.items():
        network.train()
        if name in phase.frozen_norm:
            for module in network.modules():
                if isinstance(module, nn.modules.batchnorm._NormBase):
                    module.eval()
    for player in phase.players:
        if player.name not in training.optimisers:
            training.add_optimiser(player)
    training.average.follow(_moved(training, phases, number))


def _moved(training: Training, phases: Sequence[Phase], number: int) -> dict[str, int]:
    """The stored networks that a phase moves, and how many steps of earlier phases moved them. One that no player of
    any phase names can be moved by a player's `after` alone (a teacher): it has all the steps."""
    played = [{name for player in phase.players for name in player.networks} for phase in phases]
    followed = {}
    for name in training.average.live:
        moving = [name in names or not any(name in others for others in played) for names in played]
        if moving[number]:
            followed[name] = sum(phase.steps for phase, moves in zip(phases[:number], moving, strict=False) if moves)
    return followed


def _over(training: Training, phases: Sequence[Phase], number: int) -> set[str]:
    """The stored networks that the phase before moved and neither this one nor a later one does."""
    return set(_moved(training, phases, number - 1)).difference(
        *(_moved(training, phases, later) for later in range(number, len(phases))))


def _step(job: Job, training: Training, phase: Phase, batch: Batch[np.ndarray], process: PartialState) -> float:
    """Let every player whose turn it is play once; returns the sum of all loss terms."""
    device, step = process.device, training.step
    what = job.seed, job.run, phase.name, step, process.process_index
    _seed(derive(*what), device)
    draws = torch.Generator(device).manual_seed(derive(*what, "draws"))
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
    training.average.update(training.step)
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
    """One player's turn: gradients, their mean over the processes, the guard, clipping, the step. Returns its terms."""
    optimiser = training.optimisers[player.name]
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * player.schedule(context.step, context.steps)
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    optimiser.zero_grad(set_to_none=True)
    with _counted(training, f"{phase.name}.{player.name}", process):
        terms = _gradients(job, player, context, parameters, process.device.type)
    gradients = [p.grad for p in parameters if p.grad is not None]
    values = _reduce(terms, gradients, process)
    norm = torch.nn.utils.get_total_norm(gradients)
    ids = context.ids if process.num_processes == 1 else job.sampler.ids(training.done)
    check(player.name, values, norm, context, ids)
    _clip(player, optimiser, parameters, norm)
    optimiser.step()
    if player.after is not None:
        with torch.no_grad():
            player.after(context)
    return {f"{player.name}.{name}": value for name, value in values.items()}


@contextmanager
def _counted(training: Training, key: str, process: PartialState) -> Iterator[None]:
    """Counts the multiply-adds of a player's turn, once: all its turns in a phase cost the same."""
    if key in training.operations:
        yield
        return
    with FlopCounterMode(display=False) as counter:
        yield
    training.operations[key] = counter.get_total_flops() // 2 * process.num_processes


def _gradients(job: Job, player: Player, context: Context, parameters: list[nn.Parameter],
               device_type: str) -> dict[str, Tensor]:
    """The loss terms, and in `grad` the gradients of the player's own parameters: the others' are not computed."""
    with precision.autocast(device_type, job.precision):
        terms = player.loss(context)
        total = reduce(operator.add, (term.float() for term in terms.values()))
    total.backward(inputs=parameters)
    return terms


def _reduce(terms: dict[str, Tensor], gradients: list[Tensor], process: PartialState) -> dict[str, float]:
    """Means over the processes: of the gradients in place, of the terms as numbers. What is not finite in one process
    is not finite in the mean."""
    means = torch.stack([term.detach().float() for term in terms.values()])
    processes.average([means, *gradients], process)
    return dict(zip(terms, means.tolist(), strict=True))


def _clip(player: Player, optimiser: torch.optim.Optimizer, parameters: list[nn.Parameter], norm: Tensor) -> None:
    if player.clip_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(parameters, player.clip_norm, norm)
    if player.clip_value is not None:
        torch.nn.utils.clip_grad_value_(parameters, player.clip_value(optimiser.param_groups[0]["lr"]))
