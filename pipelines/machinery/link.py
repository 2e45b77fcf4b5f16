"""Shows a stage in Prefect as a child of the rebuild that started it, and never depends on it.

A flow started in another process is no child by itself: the rebuild leaves the id of its flow run in the environment,
and here a placeholder task run is made in it that the stage's flow run hangs on. When the server does not answer, or
goes away, a line says so and what is left of the same steps runs plainly. A flow run carries the mark of its process as
a tag, by which the next rebuild finds those that a kill left running (`end_killed`).
"""

from __future__ import annotations

import logging
import os
import sys
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from pipelines.machinery import server
from pipelines.machinery.client import ended, process_mark
from pipelines.machinery.steps import Broken, Steps
from restore_ml.base import layout
from restore_ml.base.errors import UserError

if TYPE_CHECKING:
    from prefect import Flow

TAG = "process "
"""What the tag of a flow run with the mark of its process begins with."""
PARENT = "RESTORE_ML_PARENT_RUN"
"""The environment variable with the flow run id of the rebuild."""
Stage = Callable[[Steps, str], None]


def run(name: str, key: str, stage: Stage, steps: Steps) -> None:
    """Run the stage's steps, watched by Prefect where its server answers; raises `Broken` and `UserError`."""
    url = server.find(layout.root()) or server.find_busy(layout.root())
    if url is None:
        print("The Prefect server does not answer; this stage runs without it.", file=sys.stderr)
        _plain(stage, key, steps)
        return
    try:
        _watched(name, key, stage, steps, url)
    except (Broken, UserError):
        raise
    except Exception as error:  # whatever it is, it is Prefect's: steps raise Broken
        status = getattr(getattr(error, "response", None), "status_code", "")
        reason = f"{type(error).__name__} {status}".strip()
        print(f"The Prefect server went away ({reason}); the rest of this stage runs without it.", file=sys.stderr)
        _plain(stage, key, steps)


def _plain(stage: Stage, key: str, steps: Steps) -> None:
    steps.start(watched=False)
    stage(steps, key)


def flow_run_id() -> str:
    """The id of the Prefect flow run that this is part of, or nothing."""
    if "prefect" not in sys.modules:
        return ""
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    return str(context.flow_run.id) if context and context.flow_run else ""


def settings(url: str) -> dict[Any, Any]:
    """Prefect's settings for a process of ours: our server, our home, short patience.

    Loopback is never asked through a proxy, neither by this process nor by those that it starts. What the server could
    not write, since its database was busy (503, or 500), is asked for three times more.
    """
    from prefect import settings as known

    server.reach_loopback_directly()

    return {known.PREFECT_API_URL: url, known.PREFECT_HOME: (layout.root() / server.HOME).resolve(),
            known.PREFECT_CLIENT_MAX_RETRIES: 3, known.PREFECT_CLIENT_RETRY_EXTRA_CODES: {500},
            known.PREFECT_SERVER_ANALYTICS_ENABLED: False}


def environment() -> dict[str, str]:
    """The settings of this process for Prefect as environment variables, for processes that it starts."""
    from prefect.settings import get_current_settings

    return {name: value for name, value in get_current_settings().to_environment_variables(exclude_unset=True).items()
            if name in ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_SERVER_ANALYTICS_ENABLED")}


def quiet() -> None:
    """Keep Prefect's own messages off the console; they are in its pages, and errors are ours to print."""
    import prefect  # noqa: F401 - importing it sets its handlers up

    for name in ("", "prefect", "prefect.extra"):
        for handler in logging.getLogger(name).handlers:
            if type(handler).__name__ == "PrefectConsoleHandler":
                handler.addFilter(lambda record: not record.name.startswith(("prefect", "EventsWorker")))


def _watched(name: str, key: str, stage: Stage, steps: Steps, url: str) -> None:
    from prefect import flow
    from prefect import settings as known
    from prefect.flow_engine import run_flow_sync
    from prefect.settings import temporary_settings
    from prefect.states import Completed, Failed

    quiet()
    errors: list[Exception] = []

    def body(key: str) -> Any:
        steps.start(watched=True)
        try:
            with unmarked():
                stage(steps, key)
        except (Broken, UserError) as error:
            errors.append(error)
            cause = error.__cause__ or error
            return Failed(message=f"{type(cause).__name__}: {cause}")
        return Completed(message="done")

    # The heartbeat would cost each stage up to a second; the rebuild's own run keeps it.
    with temporary_settings(settings(url) | {known.PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}), marked():
        watched = flow(name=name, flow_run_name=f"{name} {key}".strip(), persist_result=False,
                       validate_parameters=False)(body)
        flow_run = _child_run(watched, key)
        state: Any = run_flow_sync(watched, flow_run=flow_run, parameters={"key": key}, return_type="state")
    if errors:
        raise errors[0]
    if not state.is_completed():  # an error between the steps, or Prefect's own: `run` goes on plainly and meets it
        raise RuntimeError(f"the flow run ended as {state.name}")


def _child_run(flow: Flow[..., Any], key: str) -> Any:
    """A flow run under the rebuild that the environment names, or None: the engine then makes one of its own."""
    parent = os.environ.get(PARENT)
    if not parent:
        return None
    from prefect import Task
    from prefect.client.orchestration import get_client
    from prefect.states import Pending

    title = f"{flow.name} {key}".strip()
    with get_client(sync_client=True) as client:
        # The key is new each time: with an old one the engine would hand back the run that had it.
        placeholder = client.create_task_run(task=Task(lambda: None, name=title), name=title,
                                             flow_run_id=uuid.UUID(parent), dynamic_key=uuid.uuid4().hex,
                                             state=Pending())
        return client.create_flow_run(flow, name=title, parameters={"key": key}, parent_task_run_id=placeholder.id,
                                      tags=[tag()])


def tag() -> str:
    """The tag of the flow runs of this process."""
    return TAG + process_mark()


def marked() -> AbstractContextManager[Any]:
    """Flow runs that are made while the block runs carry the tag of this process."""
    from prefect import tags

    return tags(tag())


def unmarked() -> AbstractContextManager[Any]:
    """Task runs that are made while the block runs carry no tag: for each the server would be asked about a limit."""
    from prefect.context import TagsContext

    return TagsContext(current_tags=set())


def end_killed() -> list[str]:
    """Mark what killed processes of this machine left pending or running in Prefect as crashed; the names of the runs.

    Call it with `settings` of a server that answers.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType
    from prefect.states import Crashed

    under_way = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
    crashed: Any = Crashed(message="Its process was killed.")
    names = []
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=filters.FlowRunFilter(
                state=filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=under_way)))):
            if not any(ended(name.removeprefix(TAG)) for name in run.tags if name.startswith(TAG)):
                continue
            tasks = client.read_task_runs(
                flow_run_filter=filters.FlowRunFilter(id=filters.FlowRunFilterId(any_=[run.id])),
                task_run_filter=filters.TaskRunFilter(state=filters.TaskRunFilterState(
                    type=filters.TaskRunFilterStateType(any_=under_way))))
            for task in tasks:
                client.set_task_run_state(task.id, crashed, force=True)
            client.set_flow_run_state(run.id, crashed, force=True)
            names.append(str(run.name))
    return names
