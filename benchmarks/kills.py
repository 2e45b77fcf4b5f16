"""Kills a rebuild at random moments, again and again, and looks whether the next one makes the very same results.

    python benchmarks/kills.py [--kills 10] [--seed 1] [--kinds process group term] [--runners sequential processes]

Each kind of kill (SIGKILL to `python -m flows.rebuild` alone, SIGKILL to its whole process group, SIGTERM to it alone)
and each runner gets so many kills. The moments are drawn from the seed between the start of a rebuild and the seconds
that an undisturbed one takes; what a kill leaves is what the next rebuild begins with, and every rebuild that comes to
its end is compared with the undisturbed one (every byte of every lock and of all
results), and so are unfinished files, MLflow's and Prefect's runs, and processes left behind.
Then everything that was built is forgotten, and the kills go on.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.faults import killing
from tests.faults.killing import Project

Kill = Callable[[subprocess.Popen[bytes]], None]
KINDS: dict[str, tuple[str, Kill]] = {
    "process": ("SIGKILL to the process alone", killing.kill),
    "group": ("SIGKILL to its process group", killing.kill_group),
    "term": ("SIGTERM to the process alone", lambda process: killing.kill(process, signal.SIGTERM)),
}
GONE = 10.0
"""Seconds within which all that a killed rebuild started must have ended."""


@dataclass
class Outcome:
    """What became of the kills of one kind with one runner."""

    kills: int = 0
    rebuilt: int = 0
    moments: list[float] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def main(arguments: list[str] | None = None) -> int:
    """Kill, rebuild, compare; returns 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--kills", type=int, default=10, help="of each kind with each runner (default: 10)")
    parser.add_argument("--seed", type=int, default=1, help="that the moments are drawn from (default: 1)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--runners", nargs="+", default=["sequential"],
                        choices=["sequential", "threads", "processes", "dask"])
    parser.add_argument("--profile", choices=["quick", "cpu"], default="cpu", help="cpu ships live curves to MLflow")
    parser.add_argument("--plain", action="store_true", help="without a Prefect server")
    options = parser.parse_args(arguments)
    outcomes: dict[tuple[str, str], Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="restore-ml-kills-") as folder:
        project = killing.make(Path(folder) / "project", prefect=not options.plain, profile=options.profile,
                               runs={"one": 150, "two": 150})
        try:
            if not options.plain:
                project.watch()
            begin = time.monotonic()
            status, said = project.rebuild()
            if status:
                raise SystemExit(said)
            seconds, reference = time.monotonic() - begin, killing.results(project.root)
            print(f"An undisturbed rebuild takes {seconds:.0f} s and makes {len(reference)} files.", flush=True)
            for runner in options.runners:
                for kind in options.kinds:
                    draw = random.Random(f"{options.seed} {runner} {kind}")
                    outcomes[runner, kind] = series(project, runner, KINDS[kind][1], options.kills, draw, seconds,
                                                    reference)
        finally:
            project.close()
    print(f"\nSeed {options.seed}, {options.kills} kills of each kind, an undisturbed rebuild of {seconds:.0f} s.\n")
    print("| runner | kill | kills | rebuilds finished and compared | promises broken |\n|---|---|---|---|---|")
    for (runner, kind), outcome in outcomes.items():
        print(f"| {runner} | {KINDS[kind][0]} | {outcome.kills} | {outcome.rebuilt} | {len(outcome.complaints)} |")
    return 1 if any(outcome.complaints for outcome in outcomes.values()) else 0


def series(project: Project, runner: str, kill: Kill, kills: int, draw: random.Random, seconds: float,
           reference: dict[str, bytes]) -> Outcome:
    """So many kills, each followed by the next rebuild."""
    outcome = Outcome()
    arguments = ["--workers", "1"] if runner == "sequential" else ["--runner", runner, "--workers", "2"]
    killing.forget(project)
    while outcome.kills < kills:
        moment = draw.uniform(0.0, seconds)
        process = project.start(*arguments)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            kill(process)
            outcome.kills += 1
            outcome.moments.append(moment)
            last = project.said().strip().splitlines()[-1:] or ["nothing yet"]
            print(f"kill {outcome.kills} of {kills} after {moment:.1f} s, which said last: {last[0][:90]}", flush=True)
            outcome.complaints += left(project)
            if outcome.kills < kills:
                continue  # the next rebuild begins with what this kill left
            process = project.start(*arguments)
            process.wait()
        outcome.rebuilt += 1
        found = killing.complaints(project, reference)
        if process.returncode:
            found.append(f"the rebuild ended with {process.returncode}: {project.said()[-500:]}")
        for sentence in found:
            print(f"BROKEN: {sentence}", flush=True)
        outcome.complaints += found
        killing.forget(project)
    return outcome


def left(project: Project) -> list[str]:
    """What a killed rebuild started and did not take with it."""
    end = time.monotonic() + GONE
    while project.processes():
        if time.monotonic() > end:
            names = [killing.command(pid) for pid in project.processes()]
            return [f"processes outlived the rebuild by {GONE:.0f} s: {names}"]
        time.sleep(0.05)
    return []


if __name__ == "__main__":
    sys.exit(main())
