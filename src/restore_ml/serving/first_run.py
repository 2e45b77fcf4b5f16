"""What to build so that a person's picture can be restored in a project where nothing is built yet: one run.

It is offered with what it costs, from the records of earlier builds where there are some, and built by the flow
`rebuild`, as `make repro METHODS=TASK/RUN` does.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from restore_ml.base import costs, layout
from restore_ml.base.errors import MISTAKE, UserError
from restore_ml.base.files import read_json
from restore_ml.registry import nearest
from restore_ml.runs import settings
from restore_ml.serving.restore_command import NoModel, outside

FIGURES = {
    ("super_resolution", "rapid_sr"): (110, 360),
    ("inpainting", "telea"): (70, 360),
    ("colorization", "colorful_colorization"): (None, 360),
}
"""(processor seconds or None where nobody measured them alone, megabytes with DVC's cache) of building a run from
nothing at the profile cpu (docs/measured.md), and by that the first choice of these tasks: the champions of the first
rebuild."""


MINUTES = {"quick": "less than a minute of processor time", "cpu": "one to three minutes of processor time",
           "gpu": "an hour or more, meant for a card", "paper": "days, meant for a large card"}
"""Of a run that has no figure, by profile."""


@dataclass(frozen=True)
class Offer:
    """A run that would be built: the sentence that says so, with its seconds and disk."""

    task: str
    run: str
    sentence: str


def with_model(root: Path, options: argparse.Namespace, work: Callable[[str], int]) -> int:
    """`work(model)` with the `model` that the options name; where there is none yet, one is offered and built first.

    `options`: `task`, `model`, and `yes` to build without asking. Returns what `work` does, or an exit status where the
    person says no.
    """
    try:
        return work(options.model)
    except NoModel as missing:
        offered = offer(root, options.task, options.model, missing)
        if not agreed(offered, options.yes):
            return MISTAKE
    build(root, offered)
    return work(offered.run)


def offer(root: Path, task: str, model: str, missing: NoModel) -> Offer:
    """What to build for `model` (`champion` or a run), which is not there; raises `missing`, or a better sentence,
    where something else than building helps."""
    params = settings.load(root / "params.yaml")
    runs = [run.name for run in params.runs_of(task) if not run.of and not run.outputs]
    if model == "champion":
        built = [run for run in runs if (root / layout.model(task, run) / "model.json").exists()]
        if built:
            raise NoModel(f"{missing} There are {', '.join(built)}.")
        run = first_choice(params, task)
    else:
        run = model
    if any(other.name == run and other.outputs for other in params.runs_of(task)):
        raise UserError(outside(run))
    if run not in runs:
        raise NoModel(f"{missing}{nearest(model, runs)}")
    return Offer(task, run, f"Nothing of {task} is built that could restore it. Building the run {run} (profile "
                            f"{params.profile}) {_cost(root, task, run, params.profile)}.")


def first_choice(params: settings.Params, task: str) -> str:
    """The run that is offered of a task: the `default` of its runs.yaml, one that is measured (FIGURES), or the first
    one that is no baseline; empty where it has none."""
    from restore_ml.tasks.protocol import protocol

    runs = [run for run in params.runs_of(task) if not run.of and not run.outputs]
    names, baselines = [run.name for run in runs], protocol(task).baselines
    measured = [run for named, run in FIGURES if named == task and run in names]
    better = [run.name for run in runs if run.method not in baselines]
    return next(iter([*filter(None, [params.defaults.get(task)]), *measured, *better, *names]), "")


def _cost(root: Path, task: str, run: str, profile: str) -> str:
    recorded = costs.of_run(root, task, run, profile)
    if recorded is not None:
        return f"took {recorded:.0f} s here before, beside the preparation of its pictures"
    seconds, megabytes = FIGURES.get((task, run), (None, 360)) if profile == "cpu" else (None, 360)
    if seconds is not None:
        return f"takes about {seconds} s of processor time and {megabytes} MB of disk"
    return f"takes {MINUTES[profile]} and about {megabytes} MB of disk"


def build(root: Path, offered: Offer) -> None:
    """Build it; what happens is on the screen. `UserError` where it did not work."""
    done = subprocess.run([sys.executable, "-m", "flows.rebuild", "--task", offered.task, "--methods", offered.run],
                          cwd=root, check=False)
    if done.returncode:
        raise UserError(f"The run {offered.run} could not be built for the reason above; `make repro "
                        f"METHODS={offered.task}/{offered.run}` tries again.")
    facts = read_json(root / layout.model(offered.task, offered.run) / "model.json")
    if facts["status"] != "ok":
        raise UserError(f"The run {offered.run} was built and is {facts['status']}: {facts['reason']}.")


def agreed(offered: Offer, yes: bool) -> bool:
    """Whether it shall be built: `yes`, or what a person at the terminal answers. `UserError` where nobody can."""
    if yes:
        print(offered.sentence, file=sys.stderr)
        return True
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise UserError(f"{offered.sentence} Give --yes to have it built, or run `make repro "
                        f"METHODS={offered.task}/{offered.run}`.")
    print(f"{offered.sentence} Build it now? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
