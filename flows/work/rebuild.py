"""Rebuild: stages side by side (`flows.work.parallel`), then promotion, MLflow, the gallery and the tables."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from flows.work import parallel, units
from flows.work.dvc import dvc
from pipelines.__main__ import set_threads
from pipelines.machinery import forkserver
from pipelines.machinery.client import REBUILD, process_mark, with_parent
from pipelines.machinery.link import PARENT, flow_run_id
from pipelines.machinery.lock import mend
from pipelines.machinery.runners import RUNNER, WORKERS, Runner
from pipelines.machinery.steps import Steps
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import sweep
from restore_ml.registry import nearest, tables
from restore_ml.runs import graph, settings

WRITTEN = (layout.CODE, layout.PREPARED, layout.SAMPLES, layout.VALIDATION, layout.MODELS, layout.RESTORED,
           layout.SCORES, layout.COMPARISON, layout.CHAMPIONS, layout.STATE, layout.REPORTS)
"""Where killed processes may have left unfinished files, at any depth."""
DEFAULT = "threads"
"""The runner: what a worker does is a process of its own, so nothing heavier is needed to start it."""


def work(step: Steps, profile: str, task: str, methods: list[str], runner: str, workers: int) -> None:
    """The flow's work: rebuild all, one task, or as a preview the runs that `methods` name."""
    root = layout.root().resolve()
    step("set_profile", set_profile, root, profile)
    chosen = select(settings.load(root / layout.PARAMS), task, methods)
    failed = step("build_stages", build, root, task, chosen, Runner.parse(runner or DEFAULT, workers))
    if chosen:
        step("preview", preview, root, chosen)
    else:
        step("promote_and_show", finish, root, [task] if task else tables())
    tell(failed)


def tell(failed: list[str]) -> None:
    """A `UserError` that names what stopped, once everything else is done."""
    if failed:
        raise UserError(f"{', '.join(failed)} stopped for the reason above; everything else is built. Call it again "
                        "when that is mended.")


def set_profile(root: Path, profile: str) -> None:
    """Rewrite the profile in params.yaml, when one is named, and say which one holds."""
    path = root / "params.yaml"
    rewritten = bool(profile) and settings.set_profile(profile, path)
    active = settings.load(path).profile
    other = "cpu" if active != "cpu" else "quick"
    since = "from now on; params.yaml was rewritten" if rewritten else "as params.yaml says"
    print(f"Profile {active}, {since}; `make repro PROFILE={other}` changes it ({', '.join(settings.PROFILES)}).",
          flush=True)


def build(root: Path, task: str, chosen: list[settings.Run], runner: Runner) -> list[str]:
    """Build what is stale; the stages find the id of the flow run in the environment and show themselves below it.

    Returns the names of what failed.
    """
    os.chdir(root)
    set_threads()
    graph.check(root)
    for sentence in mend(root):
        print(sentence)
    sweep_up(root)
    crowded = runner.crowded(settings.load(root / layout.PARAMS).threads)
    if crowded:
        print(crowded)
    parent = flow_run_id()
    with forkserver.running(root):
        environment = {**os.environ, **({PARENT: parent} if parent else {}), REBUILD: process_mark(),
                       "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        environment = {name: value for name, value in environment.items() if name not in (RUNNER, WORKERS)}
        _refresh_code(root, environment)
        force_transient(root, task, chosen, environment)
        with live_curves(root, environment):
            failed = _in_parallel(root, runner, environment, task, chosen, watched=bool(parent))
    if not chosen:
        prune_checkpoints(root)
    return failed


def sweep_up(root: Path) -> None:
    """Delete what killed processes have left unfinished: in the folders of results, beside params.yaml and each lock,
    and beside the descriptions of collections (their pictures come from a folder of their own)."""
    sweep(root / folder for folder in WRITTEN)
    sweep([root, *(root / layout.GRAPH).glob("*"), *(root / layout.DATA).glob("*")], below=False)


def _in_parallel(root: Path, runner: Runner, environment: dict[str, str], task: str, chosen: list[settings.Run],
                 watched: bool) -> list[str]:
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
                return parallel.build(root, there, environment, task, chosen, submit)
        import contextvars

        from prefect import flow

        from pipelines.machinery.link import marked, quiet, unmarked

        quiet()
        errors: list[UserError] = []
        failed: list[str] = []

        def body() -> None:
            try:
                with unmarked():
                    failed.extend(parallel.build(root, there, environment, task, chosen,
                                                 parallel.through_prefect(contextvars.copy_context())))
            except UserError as error:
                errors.append(error)

        with marked():
            flow(name=f"over {there.kind}", task_runner=there.task_runner(), persist_result=False)(body)()
        if errors:
            raise errors[0]
        return failed


def select(params: settings.Params, task: str, methods: list[str]) -> list[settings.Run]:
    """The runs that `methods` (`run`, `task/run` or a method) name, of `task` where it is given; none without them."""
    if task and task not in params.tasks:
        raise UserError(f"There is no task {task!r}; the tasks are {', '.join(params.tasks)}."
                        f"{nearest(task, params.tasks)}")
    runs = [run for run in params.runs.values() if run.task in ((task,) if task else tables())]
    for name in methods:
        if not any(name in (run.name, run.key, run.method) for run in runs):
            if other := next((run for run in params.elsewhere.values() if name in (run.name, run.key)), None):
                raise UserError(f"The run {name!r} is {settings.built_at(other)}, and the profile is "
                                f"{params.profile}; change `profiles` of it in {layout.runs_file(other.task)}.")
            raise UserError(f"There is no run {name!r}{f' of {task}' if task else ''}."
                            f"{nearest(name, [run.name for run in runs])}")
    return [run for run in runs if {run.name, run.key, run.method} & set(methods)]


@contextlib.contextmanager
def live_curves(root: Path, environment: dict[str, str]) -> Iterator[None]:
    """Ship the curves of trainings to MLflow while they run; with `quick` they are over before anybody looks."""
    if settings.load(root / layout.PARAMS).profile == "quick":
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
    from restore_ml.runs.fingerprints import stale

    params = settings.load(root / layout.PARAMS)
    for force in ((), ("--force",)):
        if (root / layout.CODE).is_dir() and stale(root, params):
            dvc(root, environment, "repro", *force, "--single-item", "code")


def force_transient(root: Path, task: str, chosen: list[settings.Run], environment: dict[str, str]) -> list[str]:
    """Do again what lacked memory or disk: DVC takes such an end for up to date. Returns the stages."""
    from restore_ml.base.files import read_json

    params = settings.load(root / layout.PARAMS)
    runs = units.with_slots(params, chosen or (params.runs_of(task) if task else params.runs.values()))
    stages = []
    for run in runs:
        model = root / layout.model(run.task, run.name) / "model.json"
        restored = root / layout.restored(run.task, run.name) / "status.json"
        if model.exists() and read_json(model)["status"] == "transient":
            stages.append(layout.stage("train", run.task, run.name))
        elif restored.exists() and read_json(restored).get("transient"):
            stages.append(layout.stage("restore", run.task, run.name))
    if not chosen:
        stages += [layout.stage("champion", name, name) for name in ([task] if task else tables())
                   if (root / layout.retry_mark("champion", name)).exists()]
    if stages:
        print(f"Tried again, because they ended for want of memory or disk: {', '.join(stages)}.")
        dvc(root, environment, "repro", "--force", "--single-item", *stages)
    return stages


def prune_checkpoints(root: Path) -> list[str]:
    """Delete what trainings kept to go on from, once their results are in dvc.lock; returns the folders' names.

    What ended trainings of experiments left behind goes as well: their results are DVC's.
    """
    from restore_ml.base.files import read_json
    from restore_ml.training.train import DONE

    over = {path.parent for path in (root / layout.CHECKPOINTS).glob(f"*/{DONE}")}
    for path in sorted((root / layout.MODELS).glob("*/*/model.json")):
        checkpoint = read_json(path)
        folder = root / layout.CHECKPOINTS / checkpoint.get("fingerprint", "-")
        if checkpoint["status"] != "transient" and folder.is_dir():
            over.add(folder)
    for folder in over:
        shutil.rmtree(folder, ignore_errors=True)
    return sorted(folder.name for folder in over)


def finish(root: Path, tasks: Sequence[str], promote: bool = True) -> list[str]:
    """Promotion (where wanted), MLflow, the gallery and the tables on the screen; promotion's sentences."""
    from restore_ml.data import left_out
    from restore_ml.evaluation.tables import TERMINAL, console_table
    from restore_ml.promotion import champions
    from restore_ml.report import gallery
    from restore_ml.report.comparison import read_table
    from restore_ml.tracking import store
    from restore_ml.tracking.sync import sync

    asked = [task for task in tasks if task in tables()]
    before = {task: _champion_files(root, task) for task in asked}
    sentences = champions.promote(root, asked) if promote and asked else []
    for sentence in sentences:
        print(sentence)
    champions.dvc_add(root)
    if set(asked) != set(tables()):
        print(sync(root))
    elif news := [task for task in asked if _champion_files(root, task) != before[task]]:
        print(sync(root, news))  # of all else the stage `register` told MLflow
    for task in asked:
        if (root / layout.comparison(task) / "table.csv").exists():
            print(f"\n{console_table(task, read_table(root, task), most=TERMINAL)}")
    if any((root / layout.COMPARISON).glob("*/table.csv")):
        print(f"\n{gallery.build(root, root / layout.REPORTS / 'gallery')}")
    unused = left_out.in_words(left_out.left_out(root))
    if unused:
        print(f"\n{unused}\n")
    print(f"Gallery     {root / layout.REPORTS / 'gallery' / 'index.html'}\n"
          f"Data Docs   {root / layout.REPORTS / 'data_docs' / 'index.html'}\n"
          f"MLflow      {store.shown(root)} (`make ui` shows it and Prefect)")
    return sentences


def _champion_files(root: Path, task: str) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (root / layout.champions(task)).rglob("*") if path.is_file()}


def preview(root: Path, chosen: list[settings.Run]) -> None:
    """Score the chosen runs and print their tables."""
    from restore_ml.evaluation.comparison import about_run, build_table, join_costs
    from restore_ml.evaluation.scoring import score
    from restore_ml.evaluation.tables import TERMINAL, console_table

    for task in tables():
        runs = [run for run in chosen if run.task == task]
        if not runs:
            continue
        rows = score(task, root / layout.samples(task), root / layout.restored(task),
                     [{"run": run.name, "seed": run.seed} for run in runs])
        about = {run.name: about_run(root / layout.model(task, run.name)) for run in runs}
        table = join_costs(build_table(task, rows, about), task, root)
        print(f"\nPreview of a part, not tracked:\n{console_table(task, table, most=TERMINAL)}")
