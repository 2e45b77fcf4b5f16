"""Trainings and restorations in processes of their own, which kill themselves (SIGKILL) at a moment that is certain.

The processes are forked from a server that has torch imported, so that each is there in milliseconds.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from restore_ml import registry
from restore_ml.base import files, layout
from restore_ml.base.files import write_text
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.evaluation.scoring import score
from restore_ml.registry import tables
from restore_ml.restoring.stage import restore_run
from restore_ml.runs import settings
from restore_ml.training import loop
from restore_ml.training.history import History
from restore_ml.training.train import train_run
from tests.walk import material

CASES = {"super_resolution": "x2", "inpainting": "watermark", "cloud_removal": "cloud_20"}
"""What is restored of some tasks; of the others, the first of their degradations."""
SIZE = (136, 152)
"""Height and width of the picture that is restored."""
STEPS = 6
"""Of a training, or of each of its phases half as many."""
SAVED_EVERY = 2
"""Steps between two checkpoints."""
PATIENCE = 300.0
"""Seconds that a process may take."""
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["__main__", "torch._dynamo", "torch.utils.flop_counter", "accelerate", "cv2", "pandas",
                                __name__])
Moment = tuple[Any, ...]
"""`("step", n)`: in the n-th turn of a player, its gradients made and its weights not yet moved; `("logging", n)`: with
half of the n-th step's line in history.csv; `("reading", n)`: at the n-th reading of a training record;
`("optimising", n)`: before the n-th step of an Adam; `("half" | "before" | "after", name, n)`: with half of the n-th
file of that name written, with the whole of it under its unfinished name, or just after its renaming. `()`: never.
"""

PROJECT = Path(__file__).parents[2]


def project(root: Path, tasks: Sequence[str]) -> settings.Params:
    """Samples of the tasks from a few small pictures, and the shipped params.yaml under the profile quick."""
    for path in (PROJECT / "params.yaml", *PROJECT.glob("graph/*/runs.yaml")):
        write_text(root / path.relative_to(PROJECT), path.read_text(encoding="utf-8"))
    settings.set_profile("quick", root / "params.yaml")
    facts = {"name": "small", "collection": "small", "group": "small", "synthetic": True}
    small = material.Project(root, side=136, count=4)
    for task in tasks:
        small.material(task)
        if task not in tables():
            continue
        case = CASES.get(task) or small.degradations(task)[0]
        tested = material.sample(task, case, 9, SIZE)
        for part, arrays in (("inputs", tested.inputs), ("targets", tested.target)):
            shards.write(root / layout.samples(task) / part / "small" / f"{case}.arrow",
                         [Record("09" * 32, arrays, {**facts, **tested.facts})])
    return settings.load(root / "params.yaml")


def run_of(params: settings.Params, name: str) -> settings.Run:
    """The run `task/run`, or the one of that name where it is one alone."""
    return params.runs[name] if name in params.runs else next(
        run for run in params.runs.values() if run.name == name)


def spec_of(params: settings.Params, name: str) -> dict[str, Any]:
    """The run as its stage would get it, with few steps."""
    run = run_of(params, name)
    chosen = dict(run.settings)
    if registry.method_class(run.task, run.method)(chosen).trains:
        steps = chosen["steps"]
        chosen["steps"] = STEPS if isinstance(steps, int) else {key: min(value, STEPS // 2)
                                                                for key, value in steps.items()}
    return {"run": run.name, "task": run.task, "method": run.method, "slots": run.slots, "seed": run.seed,
            "settings": chosen, "threads": 1, "precision": "fp32", "versions": {}, "modules": {}}


def run(root: Path, spec: dict[str, Any], moment: Moment = ()) -> int:
    """Train, restore and score in a process of its own that dies at the moment; its exit status (-9: killed)."""
    process = CONTEXT.Process(target=work, args=(root, spec, moment))
    process.start()
    process.join(PATIENCE)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"{spec['run']} did not end in {PATIENCE:g} seconds")
    return process.exitcode


def work(root: Path, spec: dict[str, Any], moment: Moment) -> None:
    """In the process: what the stages train, restore and score do of one run."""
    name, task = spec["run"], spec["task"]
    _save_seldom()
    if moment:
        _arm(moment)
    train_run(spec, root, root / layout.model(task, name), checkpoint_seconds=0.0)
    if task in tables():
        restored = root / layout.restored(task)
        restore_run(spec, root, restored / name)
        rows = score(task, root / layout.samples(task), restored, [{"run": name, "seed": spec["seed"]}])
        write_text(root / layout.SCORES / f"{name}.csv", rows.to_csv(index=False))


def results(root: Path, spec: dict[str, Any]) -> dict[str, bytes]:
    """All that the run left of weights, history, restored pictures and metrics, by path."""
    places = (layout.model(spec["task"], spec["run"]), layout.restored(spec["task"], spec["run"]))
    paths = [path for place in places for path in sorted((root / place).rglob("*")) if path.is_file()]
    paths += [path for path in [root / layout.SCORES / f"{spec['run']}.csv"] if path.exists()]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths if not path.name.startswith(files.PART)}


def _save_seldom() -> None:
    """Make a checkpoint every SAVED_EVERY steps, so that steps are played, logged and lost between two."""
    real = loop.save

    def save(training: loop.Training, *others: Any) -> None:
        if training.done % SAVED_EVERY == 0:
            real(training, *others)

    loop.save = save


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _Countdown:
    """True at the n-th call."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self) -> bool:
        self.left -= 1
        return self.left == 0


def _arm(moment: Moment) -> None:
    kind, *what, number = moment
    due = _Countdown(number)
    if kind == "step":
        loop.check = partial(_before, due, loop.check)
    elif kind == "reading":
        shards.Shard.arrays = _method(due, shards.Shard.arrays)
    elif kind == "optimising":
        torch.optim.Adam.step = _method(due, torch.optim.Adam.step)
    elif kind == "logging":
        _arm_history(due)
    else:
        _arm_replace(kind, what[0], due)


def _before(due: Callable[[], bool], real: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    if due():
        _die()
    return real(*arguments, **named)


def _method(due: Callable[[], bool], real: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        return _before(due, real, self, *arguments, **named)

    return method


def _arm_history(due: Callable[[], bool]) -> None:
    real = History.add

    def add(self: History, phase: str, step: int, steps: int, terms: dict[str, float]) -> None:
        if due():
            self._file.write(f"{phase},{step},{next(iter(terms))[:3]}")
            self._file.flush()
            _die()
        real(self, phase, step, steps, terms)

    History.add = add  # type: ignore[method-assign]


def _arm_replace(kind: str, name: str, due: Callable[[], bool]) -> None:
    real = os.replace

    def replace(source: Any, target: Any, **named: Any) -> None:
        hit = Path(target).name == name and due()
        if hit and kind == "half":
            os.truncate(source, os.path.getsize(source) // 2)
        if hit and kind != "after":
            _die()
        real(source, target, **named)
        if hit:
            _die()

    os.replace = replace
