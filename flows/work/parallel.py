"""The parallel rebuild: the stages of dvc.yaml over a task runner, with DVC as the only writer of dvc.lock.

    dvc repro code prepare degrade validate       pictures in chunks over the workers
    dvc repro --single-item train@x restore@x     one unit a run, side by side in lanes, in the order of dvc.yaml
    dvc repro                                     what is left (compare, register), and proof that nothing is stale

Each lane is a DVC process on this machine; what its stages do goes to the workers (`machinery.jobs`). Units write
disjoint outs, and one that needs another's outs waits for it, so DVC's own locks are never in each other's way.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from pipelines.machinery import jobs
from pipelines.machinery.client import with_parent
from pipelines.machinery.runners import Runner
from restore_ml import settings
from restore_ml.errors import UserError
from restore_ml.registry import TASKS

DATA = ("code", "prepare", "degrade", "validate")
"""What comes before the runs; its stages stay on this machine and send chunks of pictures to the workers."""


@dataclass(frozen=True)
class Unit:
    """Stages that one lane runs one after the other, and the units (by name) whose outs they read."""

    name: str
    stages: tuple[str, ...]
    after: frozenset[str] = frozenset()


def units(params: settings.Params, chosen: list[str] | None = None) -> list[Unit]:
    """One unit a run, and one a table: scores wait for the runs of their task. `chosen`: only these runs, no tables."""
    wanted = {*chosen, *(params.runs[name].needs for name in chosen)} if chosen else set(params.runs)
    found = [Unit(run.name, (f"train_support@{run.name}",)) for run in params.runs.values()
             if run.task not in TASKS and run.name in wanted]
    found += [Unit(run.name, (f"train@{run.name}", f"restore@{run.name}"), frozenset({run.needs} - {"none"}))
              for run in params.runs.values() if run.task in TASKS and run.name in wanted]
    if not chosen:
        found += [Unit(f"score {task}", (f"score@{task}",), frozenset(run.name for run in params.runs_of(task)))
                  for task in TASKS if params.runs_of(task)]
    return found


def stale(found: list[Unit], changed: set[str]) -> list[Unit]:
    """The units with a stage in `changed` (what `dvc status` names), or behind such a unit."""
    names = {unit.name for unit in found if changed & set(unit.stages)}
    while more := {unit.name for unit in found if unit.after & names} - names:
        names |= more
    return [unit for unit in found if unit.name in names]


def build(root: Path, runner: Runner, environment: dict[str, str], chosen: list[str], submit: jobs.Submit) -> None:
    """Rebuild everything, or the runs `chosen`, over `runner`; `submit` hands a stage to it.

    A unit that fails keeps those behind it from starting; the others go on, and a `UserError` names what failed.
    """
    over = environment | runner.environment()
    _dvc(root, over, "repro", *DATA)
    params = settings.load(root / "params.yaml")
    found = units(params, chosen)
    waiting = stale(found, _changed(root, environment))
    if waiting:
        print(f"{len(waiting)} of {len(found)} units are stale; {runner.workers} at once over {_title(runner)}.")
        with jobs.dispatching(root, submit) as address:
            _run(root, waiting, _Lanes(root, environment | address, min(runner.workers, len(waiting))))
    if not chosen:
        _dvc(root, environment, "repro")


def _title(runner: Runner) -> str:
    return f"{runner.kind} at {runner.address}" if runner.address else runner.kind


class _Lanes:
    """The DVC processes; each takes one unit at a time."""

    def __init__(self, root: Path, environment: dict[str, str], count: int) -> None:
        self.root, self.environment, self.count = root, environment, count
        self.free: SimpleQueue[tuple[subprocess.Popen[str], Path]] = SimpleQueue()
        self.all: list[subprocess.Popen[str]] = []

    def __enter__(self) -> _Lanes:
        for number in range(self.count):
            path = self.root / jobs.FOLDER / f"lane-{number}.log"
            with open(path, "wb") as log:
                lane = subprocess.Popen([sys.executable, "-m", "flows.work.lane"], cwd=self.root, env=self.environment,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                                        preexec_fn=with_parent())  # noqa: PLW1509
            self.all.append(lane)
            self.free.put((lane, path))
        return self

    def __exit__(self, *ignored: Any) -> None:
        for lane in self.all:
            if lane.stdin:
                with contextlib.suppress(OSError):
                    lane.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                lane.wait(5)
            lane.kill()
            lane.wait()

    def run(self, unit: Unit) -> str:
        """Run a unit in a free lane; what went wrong, or nothing."""
        lane, log = self.free.get()
        try:
            start = log.stat().st_size
            assert lane.stdin and lane.stdout
            print(" ".join(unit.stages), file=lane.stdin, flush=True)
            answer = lane.stdout.readline().strip()
            if answer == "0":
                return ""
            with open(log, encoding="utf-8", errors="replace") as file:
                file.seek(start)
                return _said(self.root, unit) or file.read().strip()[-2000:] or "its lane was killed"
        except OSError as error:
            return f"its lane was killed ({error})"
        finally:
            if lane.poll() is None:
                self.free.put((lane, log))


def _said(root: Path, unit: Unit) -> str:
    """The last words of the unit's stage that failed."""
    for stage in reversed(unit.stages):
        name = stage.replace("train_support@", "train@")
        path = root / jobs.FOLDER / f"{name}.log"
        if path.exists() and path.stat().st_size:
            return path.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
    return ""


def _run(root: Path, waiting: list[Unit], lanes: _Lanes) -> None:
    left = {unit.name: unit for unit in waiting}
    under_way: dict[Future[str], tuple[Unit, float]] = {}
    failed: dict[str, str] = {}
    total, done = len(waiting), 0
    with ThreadPoolExecutor(lanes.count) as pool, lanes:  # the lanes end first, so that nobody waits for them
        while left or under_way:
            behind = {*left, *(unit.name for unit, _ in under_way.values()), *failed}
            for unit in [unit for unit in left.values() if not unit.after & behind]:
                under_way[pool.submit(lanes.run, left.pop(unit.name))] = unit, time.monotonic()
            if not under_way:
                break  # all that is left stands behind what failed
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                unit, begin = under_way.pop(future)
                done += 1
                words = future.result()
                print(f"[{done}/{total}] {' '.join(unit.stages)} "
                      f"{'failed' if words else 'done'} after {time.monotonic() - begin:.1f} s")
                if words:
                    failed[unit.name] = words
                    print(words, file=sys.stderr)
                    if not any(lane.poll() is None for lane in lanes.all):
                        raise UserError("All lanes of the rebuild were killed; what was finished is kept.")
    if failed:
        kept = f" {', '.join(left)} had to wait for it." if left else ""
        raise UserError(f"{', '.join(failed)} stopped for the reason above; what was finished is kept.{kept}")


def _changed(root: Path, environment: dict[str, str]) -> set[str]:
    """The stages that `dvc status` names."""
    done = subprocess.run([sys.executable, "-m", "dvc", "status", "--json"], cwd=root, env=environment,
                          capture_output=True, text=True, check=False, preexec_fn=with_parent())
    try:
        return set(json.loads(done.stdout))
    except ValueError:
        raise UserError(f"`dvc status` said: {' '.join((done.stderr or done.stdout).split())[-500:]}") from None


def _dvc(root: Path, environment: dict[str, str], *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, env=environment, check=False,
                          preexec_fn=with_parent())
    if done.returncode:
        raise UserError(f"`dvc {arguments[0]}` stopped for the reason above; what was finished is kept.")


@contextlib.contextmanager
def plainly(runner: Runner) -> Iterator[jobs.Submit]:
    """Hand stages to the workers without Prefect."""
    with runner.executor() as executor:
        yield lambda job: executor.submit(jobs.run, job).result


def through_prefect(context: Any) -> jobs.Submit:
    """Hand stages to the task runner of the flow run whose `context` (contextvars) this is, one task run each."""
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    one_by_one = threading.Lock()  # the runners connect when the first task comes

    def submit(job: dict[str, Any]) -> Any:
        work = task(name=job["arguments"][0], task_run_name=f"{job['name']} on a worker", cache_policy=NO_CACHE,
                    persist_result=False)(jobs.run)
        with one_by_one:
            future = context.copy().run(work.submit, job)
        return lambda: context.copy().run(future.wait)

    return submit

