"""`make repro`: one `dvc repro` inside a Prefect flow, then promotion, MLflow, the gallery and the tables.

    python -m flows.rebuild [--profile quick] [--task inpainting] [--methods "vdsr glcic"]

With `--task` or `--methods` only those runs are trained and restored, and a preview table is printed that is not
tracked: a tracked table of a part would pass for the whole.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines import forkserver, server
from pipelines.__main__ import set_threads
from pipelines.client import die_with_parent
from pipelines.link import PARENT
from restore_ml import layout, settings
from restore_ml.errors import UserError
from restore_ml.registry import TASKS, nearest

LOCK = layout.STATE / "rebuild.lock"


def main(arguments: list[str] | None = None) -> int:
    """Rebuild; returns the exit status: 0, 2 after a user's mistake or a failed stage, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser("python -m flows.rebuild", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--profile", default="", help="rewrite the profile in params.yaml first")
    parser.add_argument("--task", default="", help="only the runs of this task")
    parser.add_argument("--methods", default="", help="only these runs, by name or method (\"vdsr glcic\")")
    options = parser.parse_args(arguments)
    root = layout.root().resolve()
    os.chdir(root)
    try:
        if options.profile and settings.set_profile(options.profile):
            print(f"params.yaml: the profile is {options.profile} now.")
        rebuild(root, options.task, options.methods.replace(",", " ").split())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; the next rebuild goes on from here.", file=sys.stderr)
        return 130
    return 0


def rebuild(root: Path, task: str = "", methods: list[str] | None = None) -> None:
    """Rebuild all, or the part that `task` and `methods` name. Two rebuilds never run at once."""
    from filelock import FileLock, Timeout

    chosen = select(settings.load(root / "params.yaml"), task, methods or [])
    (root / layout.STATE).mkdir(exist_ok=True)
    try:
        with FileLock(root / LOCK, timeout=0):
            set_threads()
            url = server.start(root)
            with forkserver.running(root):
                _watched(root, chosen, url)
    except Timeout:
        raise UserError("Another rebuild of this project is running; wait for it or end it.") from None


def select(params: settings.Params, task: str, methods: list[str]) -> list[settings.Run]:
    """The runs that `task` and `methods` (names of runs or methods) choose; empty means all."""
    if task and task not in TASKS:
        raise UserError(f"There is no task {task!r}; the tasks are {', '.join(TASKS)}.{nearest(task, TASKS)}")
    runs = [run for run in params.runs.values() if run.task in ((task,) if task else TASKS)]
    for name in methods:
        if not any(name in (run.name, run.method) for run in runs):
            raise UserError(f"There is no run {name!r}{f' of {task}' if task else ''}."
                            f"{nearest(name, [run.name for run in runs])}")
    if not task and not methods:
        return []
    return [run for run in runs if not methods or run.name in methods or run.method in methods]


def _watched(root: Path, chosen: list[settings.Run], url: str | None) -> None:
    """The work inside the parent flow, whose id the stages find in the environment; plainly without a server."""
    done: list[bool] = []
    errors: list[Exception] = []

    def work(parent: str = "") -> None:
        done.append(True)
        try:
            _build(root, chosen, {PARENT: parent} if parent else {})
        except Exception as error:
            errors.append(error)

    if url is None:
        work()
    else:
        try:
            _in_flow(work, errors, url)
        except Exception as error:  # Prefect's own; the work keeps its errors in the list
            print(f"The Prefect server went away ({type(error).__name__}).", file=sys.stderr)
            if not done:
                work()
    if errors:
        raise errors[0]


def _in_flow(work: Any, errors: list[Exception], url: str) -> None:
    from prefect import flow
    from prefect.context import get_run_context
    from prefect.settings import temporary_settings
    from prefect.states import Completed, Failed

    from pipelines.link import quiet
    from pipelines.link import settings as prefect_settings

    quiet()
    def body() -> Any:
        work(str(get_run_context().flow_run.id))  # type: ignore[union-attr]
        return Failed(message=str(errors[0])) if errors else Completed(message="rebuilt")

    with temporary_settings(prefect_settings(url)):
        flow(name="rebuild", persist_result=False)(body)(return_state=True)


def _build(root: Path, chosen: list[settings.Run], extra: dict[str, str]) -> None:
    environment = {**os.environ, **extra, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    _refresh_code(root, environment)
    force_transient(root, chosen, environment)
    with live_curves(root, environment):
        _dvc(root, environment, "repro", *[f"restore@{run.name}" for run in chosen])
    if chosen:
        preview(root, chosen)
        return
    prune_checkpoints(root)
    finish(root)


@contextlib.contextmanager
def live_curves(root: Path, environment: dict[str, str]) -> Iterator[None]:
    """Ship the curves of trainings to MLflow while they run; with `quick` they are over before anybody looks."""
    if settings.load(root / "params.yaml").profile == "quick":
        yield
        return
    from restore_ml.tracking import store
    from restore_ml.tracking.follow import Follower

    follower = subprocess.Popen([sys.executable, "-m", "restore_ml.cli", "sync", "--follow"], cwd=root, env=environment,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)  # noqa: PLW1509 - it only calls prctl
    try:
        yield
    finally:
        follower.terminate()
        follower.wait()
        with store.writing(root):
            Follower(root).ship()  # takes the live runs of finished trainings away


def _refresh_code(root: Path, environment: dict[str, str]) -> None:
    """DVC sees changed sources and settings; another torch or processor, or an edited package, only this sees."""
    from restore_ml.fingerprints import stale

    params = settings.load(root / "params.yaml")
    for force in ((), ("--force",)):
        if (root / layout.CODE).is_dir() and stale(root, params):
            _dvc(root, environment, "repro", *force, "--single-item", "code")


def force_transient(root: Path, chosen: list[settings.Run], environment: dict[str, str]) -> list[str]:
    """Train again what ended for want of memory or disk: DVC takes such an end for up to date. Returns the runs."""
    from restore_ml.files import read_json

    params = settings.load(root / "params.yaml")
    wanted = {run.name for run in chosen} | {run.needs for run in chosen} if chosen else set(params.runs)
    names = []
    for name in sorted(wanted & set(params.runs)):
        path = root / layout.MODELS / name / "model.json"
        if path.exists() and read_json(path)["status"] == "transient":
            names.append(name)
    stages = [f"{'train' if params.runs[name].task in TASKS else 'train_support'}@{name}" for name in names]
    if stages:
        print(f"Tried again, because they ended for want of memory or disk: {', '.join(names)}.")
        _dvc(root, environment, "repro", "--force", "--single-item", *stages)
    return names


def _dvc(root: Path, environment: dict[str, str], *arguments: str) -> None:
    """Run DVC in the project; its own words are on the screen when it fails."""
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, env=environment, check=False,
                          preexec_fn=die_with_parent)
    if done.returncode:
        raise UserError(f"`dvc {' '.join(arguments[:1])}` stopped for the reason above; what was finished is kept.")


def prune_checkpoints(root: Path) -> list[str]:
    """Delete what trainings kept to go on from, once their results are in dvc.lock; returns the folders' names."""
    from restore_ml.files import read_json

    removed = []
    for path in sorted((root / layout.MODELS).glob("*/model.json")):
        facts = read_json(path)
        folder = root / layout.CHECKPOINTS / facts.get("fingerprint", "-")
        if facts["status"] != "transient" and folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder.name)
    return removed


def finish(root: Path) -> None:
    """Promotion, MLflow, the gallery and the tables on the screen."""
    from restore_ml.evaluation.tables import console_table
    from restore_ml.report import gallery
    from restore_ml.report.comparison import read_table
    from restore_ml.tracking import champions, store
    from restore_ml.tracking.sync import sync

    for sentence in champions.promote(root):
        print(sentence)
    champions.dvc_add(root)
    print(sync(root))
    there = [task for task in TASKS if (root / layout.COMPARISON / task / "table.csv").exists()]
    for task in there:
        print(f"\n{console_table(task, read_table(root, task), None)}")
    if there:
        print(f"\n{gallery.build(root, root / layout.REPORTS / 'gallery')}")
    print(f"Gallery     {root / layout.REPORTS / 'gallery' / 'index.html'}\n"
          f"Data Docs   {root / layout.REPORTS / 'data_docs' / 'index.html'}\n"
          f"MLflow      {store.tracking_uri(root)} (`make ui` shows it and Prefect)")


def preview(root: Path, chosen: list[settings.Run]) -> None:
    """Score the chosen runs and print their tables."""
    from restore_ml.evaluation.comparison import build_table, join_costs
    from restore_ml.evaluation.scoring import score
    from restore_ml.evaluation.tables import console_table

    for task in TASKS:
        runs = [{"run": run.name, "seed": run.seed} for run in chosen if run.task == task]
        if not runs:
            continue
        rows = score(task, root / layout.SAMPLES / task, root / layout.RESTORED / task, runs)
        table = join_costs(build_table(task, rows, root / layout.MODELS), task, root)
        print(f"\nPreview of a part, not tracked:\n{console_table(task, table, None)}")


if __name__ == "__main__":
    sys.exit(main())
