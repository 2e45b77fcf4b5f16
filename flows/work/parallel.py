"""The parallel rebuild: the stages of the graph over a task runner, with DVC as the only writer of the locks.

    dvc repro code prepare                               pictures in chunks over the workers
    dvc repro --single-item degrade                      task beside task in lanes; in chunks where few are stale
    dvc repro --single-item train@x restore@x score@x    one unit a run (flows.work.units), side by side in lanes
    dvc repro                                            what is left (register), and proof that nothing is stale

Each lane is a DVC process on this machine; what its stages do goes to the workers (`machinery.jobs`). Units write
disjoint outs, and one that needs another's outs waits for it, so DVC's own locks are never in each other's way. At the
end each lock is put into the order of its dvc.yaml, so that its bytes do not tell how many workers there were.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from flows.work.dvc import changed, dvc
from flows.work.estimate import Cost, Estimate, megabytes_on_disk, sentence
from flows.work.units import Unit, degrading, stale, tasks_of, units
from flows.work.watching import Watch
from pipelines.machinery import jobs
from pipelines.machinery.client import with_parent
from pipelines.machinery.lock import in_order
from pipelines.machinery.runners import Runner
from restore_ml import registry
from restore_ml.base import costs, layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json
from restore_ml.runs import settings

UNKNOWN = 1200.0
"""MB of memory that a unit is thought to take when nobody has measured it."""
SPARE = 500.0
"""MB that stay free for everything else."""
LOOK = 2.0
"""Seconds between two looks whether memory has come free."""


def build(root: Path, runner: Runner, environment: dict[str, str], task: str, chosen: list[settings.Run],
          submit: jobs.Submit) -> list[str]:
    """Rebuild everything, the task `task`, or the runs `chosen` over `runner`; `submit` hands a stage to it.

    Returns the names of the units that failed: those behind them did not start, the others went on, and what they said
    is on the screen. A `UserError` where nothing could go on.
    """
    params = settings.load(root / layout.PARAMS)
    dvc(root, environment | runner.environment(), "repro", "code", "prepare")
    samples, stages = degrading(tasks_of(params, task, chosen)), units(params, task, chosen)
    asked = sorted({stage for unit in (*samples, *stages) for stage in unit.stages}) if task or chosen else []
    now = changed(root, environment, asked)
    estimate = Estimate(root, params.profile)
    failed: list[str] = []
    if old := stale(samples, now):
        failed = _degrade(root, runner, environment, old, estimate, submit)
        now = changed(root, environment, asked)
    waiting = stale(stages, now)
    if waiting:
        workers = min(runner.workers, len(waiting))
        print(f"{len(waiting)} of {len(stages)} units are stale; {_title(runner)}.", flush=True)
        print(sentence(waiting, estimate, workers, megabytes_on_disk(root, waiting)), flush=True)
        watch = Watch(root, len(waiting), estimate.total(waiting, workers) if not estimate.unknown(waiting) else 0.0)
        with jobs.dispatching(root, submit) as address:
            failed = _Build(root, estimate, watch, failed).run(
                waiting, _Lanes(root, environment | address, workers))
    if not failed and not chosen:
        dvc(root, environment, "repro", *([layout.stages_file(task).as_posix()] if task else []))
    elif not chosen and not task:
        dvc(root, environment, "repro", "--single-item", "register")
    in_order(root, params.order)
    return failed


def _degrade(root: Path, runner: Runner, environment: dict[str, str], old: list[Unit], estimate: Estimate,
             submit: jobs.Submit) -> list[str]:
    """Make the samples of stale tasks: task beside task, or in chunks of pictures where fewer are stale than there are
    workers. Returns the names of the units that failed."""
    if len(old) < runner.workers:
        dvc(root, environment | runner.environment(), "repro", "--single-item",
            *(stage for unit in old for stage in unit.stages))
        return []
    old = sorted(old, key=lambda unit: _records(root, unit.name.split()[-1]), reverse=True)  # the longest is not last
    print(f"Samples of {len(old)} tasks are made; {_title(runner)}.", flush=True)
    with jobs.dispatching(root, submit) as address:
        watch = Watch(root, len(old), 0.0 if estimate.unknown(old) else estimate.total(old, runner.workers))
        return _Build(root, estimate, watch, []).run(old, _Lanes(root, environment | address, runner.workers))


def _records(root: Path, task: str) -> int:
    """How many prepared records the task draws from."""
    import pyarrow.parquet as pq

    home = root / layout.PREPARED / registry.task(task).domain
    return sum(pq.read_metadata(path).num_rows for path in home.rglob("manifest.parquet"))


def _title(runner: Runner) -> str:
    return f"{runner.workers} at once over {runner.kind}" + (f" at {runner.address}" if runner.address else "")


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
        path = root / jobs.FOLDER / f"{job_name(stage)}.log"
        if path.exists() and path.stat().st_size:
            return path.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
    return ""


class _Build:
    """Hands units to lanes as they become ready and as memory allows."""

    def __init__(self, root: Path, estimate: Estimate, watch: Watch, failed: list[str]) -> None:
        """`failed`: units of before that nothing may be built behind."""
        self.root, self.estimate, self.watch = root, estimate, watch
        self.failed = dict.fromkeys(failed, "")
        self.pages: ThreadPoolExecutor | None = None

    def run(self, waiting: list[Unit], lanes: _Lanes) -> list[str]:
        """Run all that can be run; the names of the units that failed, in the order in which they did."""
        left = {unit.name: unit for unit in waiting}
        order = {name: number for number, name in enumerate(dict.fromkeys(unit.task for unit in waiting))}
        under_way: dict[Future[str], Unit] = {}
        with (ThreadPoolExecutor(1) as self.pages, ThreadPoolExecutor(lanes.count) as pool,
              lanes, self.watch.watching()):  # the lanes end first
            while left or under_way:
                busy = {unit.name for unit in under_way.values()}
                ready = [unit for unit in left.values() if not unit.after & {*left, *busy, *self.failed}
                         and not unit.following & {*self._can_run(left), *busy}]
                # Task after task, so that the first table comes early; in it the longest first, so that none is last.
                for unit in sorted(ready, key=lambda unit: (order[unit.task], -self.estimate.seconds(unit))):
                    if len(under_way) < lanes.count and (not under_way or self._fits(unit)):
                        under_way[pool.submit(lanes.run, left.pop(unit.name))] = unit
                        self.watch.start(unit.name)
                if not under_way:
                    break  # all that is left stands behind what failed
                for future in wait(under_way, timeout=LOOK, return_when=FIRST_COMPLETED).done:
                    self._end(under_way.pop(future), future.result())
                    if self.failed and not any(lane.poll() is None for lane in lanes.all):
                        raise UserError("All lanes of the rebuild were killed; what was finished is kept.")
        if left:
            print(f"{', '.join(left)} had to wait for what stopped.", file=sys.stderr)
        return list(self.failed)

    def _can_run(self, left: dict[str, Unit]) -> set[str]:
        """The units left that do not stand behind one that failed."""
        blocked = set(self.failed)
        while more := {name for name, unit in left.items() if unit.after & blocked} - blocked:
            blocked |= more
        return set(left) - blocked

    def _fits(self, unit: Unit) -> bool:
        """Whether so much memory is free as the unit took the last time."""
        free = available_megabytes()
        return free is None or free - SPARE >= self.estimate.megabytes(unit, UNKNOWN)

    def _end(self, unit: Unit, words: str) -> None:
        self.watch.end(unit.name, "failed" if words else "done")
        self.estimate.record(_costs(self.root, unit))
        if words:
            self.failed[unit.name] = words
            for path in _stale_scores(self.root, unit):
                path.unlink(missing_ok=True)
            print(words, file=sys.stderr, flush=True)
        elif unit.table:
            self.watch.say(_table(self.root, unit.task))
            if self.pages:
                self.pages.submit(self._show, unit.task)

    def _show(self, task: str) -> None:
        """Show the task in the gallery and in MLflow while the others are built; what changes later is brought up to
        date at the end."""
        from restore_ml.report.gallery import build_page
        from restore_ml.tracking.sync import sync

        try:
            self.watch.say(f"Page: {build_page(self.root, self.root / layout.REPORTS / 'gallery', task)}")
            sync(self.root, [task])
        except Exception as error:
            self.watch.say(f"{task} is shown at the end: {error}")


def _costs(root: Path, unit: Unit) -> dict[str, Cost]:
    """What the stages of a unit cost just now, of those that ran."""
    costs = {}
    for stage in unit.stages:
        path = root / jobs.FOLDER / f"{job_name(stage)}.json"
        with contextlib.suppress(UserError, KeyError, TypeError):
            said = read_json(path) if path.exists() else {"status": 1}
            if said["status"] == 0:
                costs[stage] = Cost(float(said["seconds"]), _megabytes(root, stage))
    return costs


def _megabytes(root: Path, stage: str) -> float:
    """The most memory that the process of a training or restoring took; 0 for other stages."""
    kind, _, key = job_name(stage).partition("@")
    task, _, run = key.partition(".")
    results = {"train": layout.model(task, run) / "model.json", "restore": layout.restored(task, run) / "status.json"}
    path = costs.path(root, kind, root / results[kind]) if kind in results and (root / results[kind]).exists() else None
    return float(read_json(path).get("peak_memory_mb") or 0.0) if path and path.exists() else 0.0


def job_name(stage: str) -> str:
    """`graph/inpainting/dvc.yaml:train@telea` as workers call it: `train@inpainting.telea`."""
    file, _, rest = stage.partition(":")
    name, _, key = rest.partition("@")
    task = Path(file).parent.name
    return f"{name}@{task}" if key in ("", task) else f"{name}@{task}.{key}"


def _stale_scores(root: Path, unit: Unit) -> list[Path]:
    """The scores of a run that failed are those of its last success: no table may show them as today's."""
    task, _, run = unit.name.partition("/")
    return [root / layout.scores(task, run), root / layout.about(task, run)] if run else []


def _table(root: Path, task: str) -> str:
    from restore_ml.evaluation.tables import console_table
    from restore_ml.report.comparison import read_table

    return f"\n{console_table(task, read_table(root, task), None)}\n"


def available_megabytes() -> float | None:
    """The memory that programs can still have, in MB; None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="utf-8") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None


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

