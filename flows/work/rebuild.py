"""Rebuild: one `dvc repro`, or many side by side, then promotion, MLflow, the gallery and the tables."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from flows.work import parallel
from pipelines.__main__ import set_threads
from pipelines.machinery import forkserver
from pipelines.machinery.client import REBUILD, mark, with_parent
from pipelines.machinery.link import PARENT, flow_run_id
from pipelines.machinery.lock import mend
from pipelines.machinery.runners import RUNNER, WORKERS, Runner
from pipelines.machinery.steps import Steps
from restore_ml import layout, settings
from restore_ml.errors import UserError
from restore_ml.files import sweep
from restore_ml.registry import TASKS, nearest

WRITTEN = (layout.CODE, layout.PREPARED, layout.SAMPLES, layout.VALIDATION, layout.MODELS, layout.RESTORED,
           layout.SCORES, layout.COMPARISON, layout.CHAMPIONS, layout.STATE, layout.REPORTS)
"""Where killed processes may have left unfinished files, at any depth."""


def work(step: Steps, profile: str, task: str, methods: list[str], runner: str, workers: int) -> None:
    """The flow's work: rebuild all, or the part that `task` and `methods` name."""
    root = layout.root().resolve()
    step("set_profile", set_profile, root, profile)
    chosen = select(settings.load(root / "params.yaml"), task, methods)
    step("build_stages", build, root, chosen, Runner.parse(runner, workers))
    if chosen:
        step("preview", preview, root, chosen)
    else:
        step("promote_and_show", finish, root)


def set_profile(root: Path, profile: str) -> None:
    """Rewrite the profile in params.yaml, when one is named."""
    if profile and settings.set_profile(profile, root / "params.yaml"):
        print(f"params.yaml: the profile is {profile} now.")


def build(root: Path, chosen: list[settings.Run], runner: Runner) -> None:
    """Build what is stale; the stages find the id of the flow run in the environment and show themselves below it."""
    os.chdir(root)
    set_threads()
    for sentence in mend(root):
        print(sentence)
    sweep_up(root)
    crowded = runner.crowded(settings.load(root / "params.yaml").threads)
    if crowded:
        print(crowded)
    parent = flow_run_id()
    with forkserver.running(root):
        environment = {**os.environ, **({PARENT: parent} if parent else {}), REBUILD: mark(),
                       "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        environment = {name: value for name, value in environment.items() if name not in (RUNNER, WORKERS)}
        _refresh_code(root, environment)
        force_transient(root, chosen, environment)
        with live_curves(root, environment):
            if runner.parallel:
                _in_parallel(root, runner, environment, [run.name for run in chosen], watched=bool(parent))
            else:
                _dvc(root, environment, "repro", *[f"restore@{run.name}" for run in chosen])
    if not chosen:
        prune_checkpoints(root)


def sweep_up(root: Path) -> None:
    """Delete what killed processes have left unfinished: in the folders of results, beside params.yaml and dvc.lock,
    and beside the descriptions of collections (their pictures come from a folder of their own)."""
    sweep(root / folder for folder in WRITTEN)
    sweep([root, *(root / layout.DATA).glob("*")], below=False)


def _in_parallel(root: Path, runner: Runner, environment: dict[str, str], chosen: list[str], watched: bool) -> None:
    """Over the task runner of a flow below the rebuild's; over the same workers plainly where Prefect is not there."""
    if watched:
        from prefect.context import refresh_global_settings_context

        from pipelines.machinery.link import environment as prefect_environment

        # For the workers, and for threads of Prefect's: without an address each would start a server of its own.
        os.environ.update(prefect_environment())
        refresh_global_settings_context()
    with runner.cluster() as there:
        if not watched:
            with parallel.plainly(there) as submit:
                parallel.build(root, there, environment, chosen, submit)
            return
        import contextvars

        from prefect import flow

        from pipelines.machinery.link import marked, quiet, unmarked

        quiet()
        errors: list[UserError] = []

        def body() -> None:
            try:
                with unmarked():
                    parallel.build(root, there, environment, chosen,
                                   parallel.through_prefect(contextvars.copy_context()))
            except UserError as error:
                errors.append(error)

        with marked():
            flow(name=f"over {there.kind}", task_runner=there.task_runner(), persist_result=False)(body)()
        if errors:
            raise errors[0]


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


@contextlib.contextmanager
def live_curves(root: Path, environment: dict[str, str]) -> Iterator[None]:
    """Ship the curves of trainings to MLflow while they run; with `quick` they are over before anybody looks."""
    if settings.load(root / "params.yaml").profile == "quick":
        yield
        return
    from restore_ml.tracking import store
    from restore_ml.tracking.follow import Follower

    follower = subprocess.Popen([sys.executable, "-m", "restore_ml.cli", "sync", "--follow"], cwd=root, env=environment,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=with_parent())  # noqa: PLW1509
    try:
        yield
    finally:
        follower.terminate()
        follower.wait()
        try:
            with store.writing(root), store.explained(root):
                Follower(root).rest()
        except UserError as error:  # a view of what is built
            print(error, file=sys.stderr)


def _refresh_code(root: Path, environment: dict[str, str]) -> None:
    """DVC sees changed sources and settings; another torch or processor, or an edited package, only this sees."""
    from restore_ml.fingerprints import stale

    params = settings.load(root / "params.yaml")
    for force in ((), ("--force",)):
        if (root / layout.CODE).is_dir() and stale(root, params):
            _dvc(root, environment, "repro", *force, "--single-item", "code")


def force_transient(root: Path, chosen: list[settings.Run], environment: dict[str, str]) -> list[str]:
    """Train or restore again what lacked memory or disk: DVC takes such an end for up to date. Returns the runs."""
    from restore_ml.files import read_json

    params = settings.load(root / "params.yaml")
    wanted = {run.name for run in chosen} | {run.needs for run in chosen} if chosen else set(params.runs)
    names, stages = [], []
    for name in sorted(wanted & set(params.runs)):
        task = params.runs[name].task
        model = root / layout.MODELS / name / "model.json"
        restored = root / layout.RESTORED / task / name / "status.json"
        if model.exists() and read_json(model)["status"] == "transient":
            stages.append(f"{'train' if task in TASKS else 'train_support'}@{name}")
        elif restored.exists() and read_json(restored).get("transient"):
            stages.append(f"restore@{name}")
        else:
            continue
        names.append(name)
    if stages:
        print(f"Tried again, because they ended for want of memory or disk: {', '.join(names)}.")
        _dvc(root, environment, "repro", "--force", "--single-item", *stages)
    return names


def _dvc(root: Path, environment: dict[str, str], *arguments: str) -> None:
    """Run DVC in the project; its own words are on the screen when it fails."""
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, env=environment, check=False,
                          preexec_fn=with_parent())
    if done.returncode:
        raise UserError(f"`dvc {' '.join(arguments[:1])}` stopped for the reason above; what was finished is kept.")


def prune_checkpoints(root: Path) -> list[str]:
    """Delete what trainings kept to go on from, once their results are in dvc.lock; returns the folders' names.

    What ended trainings of experiments left behind goes as well: their results are DVC's.
    """
    from restore_ml.files import read_json
    from restore_ml.training.train import DONE

    over = {path.parent for path in (root / layout.CHECKPOINTS).glob(f"*/{DONE}")}
    for path in sorted((root / layout.MODELS).glob("*/model.json")):
        facts = read_json(path)
        folder = root / layout.CHECKPOINTS / facts.get("fingerprint", "-")
        if facts["status"] != "transient" and folder.is_dir():
            over.add(folder)
    for folder in over:
        shutil.rmtree(folder, ignore_errors=True)
    return sorted(folder.name for folder in over)


def finish(root: Path, promote: bool = True) -> list[str]:
    """Promotion (where wanted), MLflow, the gallery and the tables on the screen; promotion's sentences."""
    from restore_ml.evaluation.tables import console_table
    from restore_ml.report import gallery
    from restore_ml.report.comparison import read_table
    from restore_ml.tracking import champions, store
    from restore_ml.tracking.sync import sync

    sentences = champions.promote(root) if promote else []
    for sentence in sentences:
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
          f"MLflow      {store.shown(root)} (`make ui` shows it and Prefect)")
    return sentences


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
