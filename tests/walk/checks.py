"""The walk over one method: what is asked of every one, whatever it does. Each check gives its findings as sentences.

Training goes through `train_run` with one step of every phase, restoring through the harness and a model loaded from
the disk, as in the pipeline. Only three things are put in between: phases have one step, parameters that begin as 0
are stirred (behind a layer of zeros nothing could have a gradient at the first step), and each optimiser notes which
parameters had a gradient when it moved them.
"""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.evaluation.scoring import check
from restore_ml.method import Method, Model, Phase, Player
from restore_ml.restoring import harness
from restore_ml.restoring.loading import load_model
from restore_ml.seeds import generator
from restore_ml.tasks.base import Sample
from restore_ml.tasks.protocol import protocol
from restore_ml.training.train import train_run
from tests.walk import exemptions
from tests.walk.entries import Entry
from tests.walk.material import ODD, Project, sample

SEED = 7
TOLERANCE = 1e-3
"""By how much a picture may change with its company in a batch, in the output's units (sums have another order)."""
BATCHED = (64, 64)
"""Height and width of the pictures that are restored together."""

Reached = dict[str, str]
"""`network.parameter` -> `yes`, `zero` (a gradient of zeros), `none`: the best of all players and phases."""


def walk(entry: Entry, project: Project, needed: dict[str, Entry]) -> list[str]:
    """All findings about one run; `needed`: the entries among which the run that it needs is found."""
    found = list(paper(entry.method))
    try:
        with unseeded() as draws:
            reached = trained(entry, project, needed)
    except (UserError, ValueError, RuntimeError, TypeError, KeyError, IndexError, AttributeError) as error:
        return [*found, f"does not train: {told(error)}"]
    found += gradients(entry.name, reached) + [f"draws from {source} while it trains" for source in draws]
    with unseeded() as draws:
        found += restoring(entry, project)
    return found + [f"draws from {source} while it restores" for source in draws]


# --- building and training --------------------------------------------------------------------------------------------


@cache
def paper(method: type[Method]) -> tuple[str, ...]:
    """The published recipe: networks built on the meta device, which costs nothing, and the players that move them."""
    try:
        with torch.device("meta"), mock.patch.object(_SpectralNorm, "_power_method"):  # it would iterate over nothing
            made = method({})
            networks = made.build()
    except Exception as error:
        return (f"cannot be built at paper settings: {told(error)}",)
    found = [f"stores the network {name!r}, which `build` does not make"
             for name in stored(made) if name not in networks]
    for phase in made.phases():
        found += [f"has the player {player.name!r} of the network {name!r}, which `build` does not make"
                  for player in phase.players for name in player.networks if name not in networks]
    return tuple(found)


def trained(entry: Entry, project: Project, needed: dict[str, Entry], precision: str = "fp32",
            steps: int = 0, **options: Any) -> Reached:
    """Train (or fit) the run into models/<run> of the project; which of its parameters had a gradient."""
    for other in entry.slots.values():
        if not (project.root / layout.slot(other)).exists():
            trained(needed[other], project, needed)
    project.material(entry.task)
    spec = {"run": entry.name, "task": entry.task, "method": entry.name, "slots": entry.slots, "seed": entry.seed,
            "settings": {**entry.method.paper, **entry.settings}, "threads": torch.get_num_threads(),
            "precision": precision, "versions": {}, "modules": {}}
    watch = Watch(entry.method, steps or exemptions.MORE_STEPS.get(entry.name, (1, ""))[0])
    with given_class(entry, watch.method):
        out = project.root / layout.model(entry.task, entry.name)
        facts = train_run(spec, project.root, out, fresh=True, **options)
    if facts["status"] != "ok":
        raise UserError(facts["reason"])
    return watch.reached


class Watch:
    """A method's class with one step a phase that notes what had a gradient."""

    def __init__(self, base: type[Method], steps: int = 1) -> None:
        self.steps = steps
        self.reached: Reached = {}
        self.names: dict[int, str] = {}
        watch = self

        class Watched(base):  # type: ignore[misc,valid-type]
            def build(self) -> dict[str, nn.Module]:
                networks = super().build()
                watch.built(networks)
                return networks

            def phases(self) -> list[Phase]:
                return [replace(phase, steps=watch.steps, players=[watch.player(one) for one in phase.players])
                        for phase in super().phases()]

        self.method = Watched

    def built(self, networks: dict[str, nn.Module]) -> None:
        """Stir what is 0 and remember the parameters' names."""
        for key, network in networks.items():
            for name, parameter in network.named_parameters():
                if parameter.requires_grad:
                    self.names[id(parameter)] = f"{key}.{name}"
                    self.reached.setdefault(f"{key}.{name}", "")
                    if not parameter.any():
                        nn.init.normal_(parameter, std=0.02)

    def player(self, player: Player) -> Player:
        """The player with an optimiser that notes gradients."""

        def optimiser(parameters: Any) -> torch.optim.Optimizer:
            made = player.optimiser(parameters)
            made.register_step_pre_hook(lambda one, *_: self.note(one))
            return made

        return replace(player, optimiser=optimiser)

    def note(self, optimiser: torch.optim.Optimizer) -> None:
        """Each parameter counts as its best gradient so far."""
        for parameter in (one for group in optimiser.param_groups for one in group["params"]):
            name = self.names[id(parameter)]
            state = "none" if parameter.grad is None else "yes" if parameter.grad.any() else "zero"
            self.reached[name] = max(self.reached[name], state, key=("", "none", "zero", "yes").index)


def gradients(run: str, reached: Reached) -> list[str]:
    """Parameters that no step moved, but for the exempt ones."""
    words = {"": "is moved by no player", "none": "gets no gradient", "zero": "gets a gradient of zeros"}
    patterns = [pattern for name, pattern in exemptions.WITHOUT_GRADIENT if name == run]
    missed = {name: state for name, state in reached.items() if state != "yes"
              and not any(re.fullmatch(pattern, name) for pattern in patterns)}
    idle = [pattern for pattern in patterns
            if not any(re.fullmatch(pattern, name) and state != "yes" for name, state in reached.items())]
    return [f"the parameter {name} {words[state]}" for name, state in missed.items()] \
        + [f"the exemption {pattern} of gradients exempts nothing" for pattern in idle]


# --- restoring --------------------------------------------------------------------------------------------------------


def restoring(entry: Entry, project: Project) -> list[str]:
    """Every supported case of an odd-sized picture, all of them twice: the second time in the reverse order and with
    other global random states, so that what is drawn without a seed or kept from picture to picture is seen."""
    if not registry.task(entry.task).output:
        return []
    with given_class(entry, entry.method):
        method, model = load_model(project.root / layout.model(entry.task, entry.name), project.root)
    cases = [case for case in project.degradations(entry.task) if method.unsupported(case) is None]
    if not cases:
        return ["supports no case of its task"]
    size, found = _size(entry, method, model, cases[0])
    if found:
        return found
    before = _weights(model)
    samples = {case: sample(entry.task, case, 100 + number, size) for number, case in enumerate(cases)}
    outputs: dict[str, dict[str, np.ndarray]] = {}
    for number, case in enumerate([*cases, *reversed(cases)]):
        torch.manual_seed(number)  # nobody may draw from it
        given = copy.deepcopy(samples[case].inputs)
        try:
            output = harness.restore(method, model, given, SEED)
        except Exception as error:
            found.append(f"fails on {case} of {size[0]} x {size[1]}: {told(error)}")
            break
        if case in outputs:
            found += [f"restores {case} differently the second time ({name})" for name in output
                      if not np.array_equal(output[name], outputs[case][name])]
            continue
        outputs[case] = output
        found += [f"changes its input {name!r}" for name, value in given.items()
                  if not np.array_equal(value, samples[case].inputs[name])]
        found += [f"{case}: {finding}" for finding in judged(entry.task, samples[case], output)]
    after = _weights(model)
    found += [f"changes {name} while it restores" for name in before if not torch.equal(before[name], after[name])]
    found += [f"restores with {name} in training mode" for name, network in model.networks.items()
              if any(module.training for module in network.modules())]
    if model.networks:
        found += batches(entry, method, model, cases[0], BATCHED if entry.name not in exemptions.FIXED_SIZE else size)
    return list(dict.fromkeys(found))


def _size(entry: Entry, method: Method, model: Model, case: str) -> tuple[tuple[int, int], list[str]]:
    """The size to restore: odd, or that of a network of one size, which must refuse the odd one in a sentence."""
    if entry.name not in exemptions.FIXED_SIZE:
        return ODD, []
    side = int(method.settings["patch"])
    try:
        harness.restore(method, model, sample(entry.task, case, 100, ODD).inputs, SEED)
    except UserError:
        return (side, side), []
    except Exception as error:
        return ODD, [f"refuses a picture of {ODD[0]} x {ODD[1]} without a sentence: {told(error)}"]
    return ODD, ["is exempt as a network of one size but restores any"]


def judged(task: str, given: Sample, output: dict[str, np.ndarray]) -> list[str]:
    """Shape, dtype, finite values, range, and the known pixels, which must be the input's to the bit."""
    try:
        check(task, output, given.inputs, given.target)
    except ValueError as error:
        return [str(error)]
    found, canary = [], protocol(task).canary()
    if canary is None:
        return []
    value = output[canary.output]
    if value.min() < canary.low or value.max() > canary.high:
        found.append(f"gives values from {value.min():.3g} to {value.max():.3g}, outside {canary.low:g} to "
                     f"{canary.high:g}")
    if "mask" in given.inputs:
        known = given.inputs["mask"][..., 0] == 0
        seen = given.inputs["image" if "image" in given.inputs else "target"]
        if not np.array_equal(value[known], seen[known]):
            found.append("changes known pixels")
    return found


def batches(entry: Entry, method: Method, model: Model, case: str, size: tuple[int, int]) -> list[str]:
    """A picture restored beside another one is what it is alone."""
    parts = registry.parts(entry.task)
    specs = {**parts.task.inputs, **method.input_specs(parts.optional)}
    given = [sample(entry.task, case, number, size).inputs for number in (200, 201)]
    given = [{**inputs, **method.derive(inputs, None, generator(SEED, "derive"))} for inputs in given]
    together = {name: spec.to_tensor(np.stack([inputs[name] for inputs in given])) for name, spec in specs.items()
                if name in given[0]}
    alone = {name: value[:1] for name, value in together.items()}
    with torch.no_grad():
        single = method.restore(model, alone, SEED)
        try:
            double = method.restore(model, together, SEED)
            whole = all(len(value) == 2 for value in double.values())
        except Exception as error:
            double, whole = {}, False
            reason = told(error)
        else:
            reason = "the answer holds another number of pictures"
    exempt = entry.name in exemptions.ONE_AT_A_TIME
    if not whole:
        return [] if exempt else [f"does not restore two pictures together: {reason}"]
    found = ["is exempt as restoring one picture at a time but restores two"] if exempt else []
    for name, value in single.items():
        gap = float((double[name][0].float() - value[0].float()).abs().max())
        if gap > TOLERANCE * max(1.0, float(value.abs().max())):
            found.append(f"restores a picture differently beside another one ({name} by {gap:.3g})")
    return found


# --- what these share -------------------------------------------------------------------------------------------------


def stored(method: Method) -> tuple[str, ...]:
    """The networks that the model keeps."""
    return tuple(method.stored_networks)


def told(error: Exception) -> str:
    """An exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


@contextmanager
def unseeded() -> Iterator[list[str]]:
    """A list that names, at the end, what was drawn from without a seed of ours. torch's own state is not looked at:
    the loop seeds it at each step, and restoring is compared under several of them."""
    found: list[str] = []
    real, python, state = np.random.default_rng, random.getstate(), np.random.get_state()[1:3]

    def default_rng(seed: Any = None) -> np.random.Generator:
        if seed is None:
            found.append("numpy.random.default_rng() without a seed")
        return real(seed)

    np.random.default_rng = default_rng
    try:
        yield found
    finally:
        np.random.default_rng = real
        after = np.random.get_state()[1:3]
        if after[1] != state[1] or not np.array_equal(after[0], state[0]):
            found.append("numpy's global random state")
        if random.getstate() != python:
            found.append("Python's global random state")
        found[:] = dict.fromkeys(found)


def _weights(model: Model) -> dict[str, Tensor]:
    return {f"{key}.{name}": value.clone() for key, network in model.networks.items()
            for name, value in network.state_dict().items()}


@contextmanager
def given_class(entry: Entry, method: type[Method]) -> Iterator[None]:
    """The registry gives this class to whoever asks for the entry's method."""
    real = registry.method_class
    registry.method_class = lambda task, name: (
        method if (task, name) == (entry.task, entry.name) else real(task, name))
    try:
        yield
    finally:
        registry.method_class = real
