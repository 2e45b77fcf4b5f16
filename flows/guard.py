"""How a flow runs its work: as steps, under the project's lock, with a note of what failed.

A flow is a typed function of `flows.deployed`, which Prefect validates, schedules and shows; its work is a function
`work(step, **parameters)` of `flows.work`, made of named steps that are never done twice.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.machinery.link import flow_run_id, unmarked
from pipelines.machinery.steps import Broken, Steps
from restore_ml.base import layout
from restore_ml.base.errors import UserError

LOCK = layout.STATE / "rebuild.lock"
HOLDER = layout.STATE / "rebuild.json"
FAILURES = layout.REPORTS / "failures.log"
Work = Callable[..., Any]


@dataclass
class Call:
    """A flow called from the command line: its steps, what its work is, and how far it came."""

    steps: Steps = field(default_factory=Steps)
    work: Callable[[], Any] | None = None
    error: Exception | None = None
    result: Any = None
    over: bool = False


_calls: list[Call] = []
"""The call that the command line made; empty where Prefect's own worker runs the flow."""


@contextlib.contextmanager
def called() -> Iterator[Call]:
    """A call from the command line, which the flow's body fills and the note of a failure reads."""
    call = Call()
    _calls.append(call)
    try:
        yield call
    finally:
        _calls.pop()


@contextlib.contextmanager
def project_lock(root: Path, what: str, wait: float = 0.0) -> Iterator[None]:
    """Only one flow at a time changes a project; another one waits `wait` seconds for it.

    Raises:
        UserError: the other one is still at it then.
    """
    from filelock import FileLock, Timeout

    (root / layout.STATE).mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if wait > 0:
            print(f"Waiting for {_holder(root)}, at most {wait:g} s.", file=sys.stderr)
        try:
            lock.acquire(timeout=wait, poll_interval=0.2)
        except Timeout:
            raise UserError(f"Another rebuild of this project is running: {_holder(root)}. Wait for it or end it, or "
                            "give --wait SECONDS.") from None
    try:
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        (root / HOLDER).write_text(json.dumps({"what": what, "pid": os.getpid(), "since": now}), encoding="utf-8")
        yield
    finally:
        (root / HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(root: Path) -> str:
    try:
        holder = json.loads((root / HOLDER).read_text(encoding="utf-8"))
        return f"{holder['what']} (process {holder['pid']}, since {holder['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that has not said its name"


def body(name: str, work: Work, wait: float, parameters: dict[str, Any]) -> Any:
    """The body of every flow: its work as steps, shown by Prefect where it runs as a flow, under the project's lock."""
    call = _calls[-1] if _calls else Call()
    watched = flow_run_id() != ""
    root = layout.root().resolve()

    def again() -> Any:
        with project_lock(root, name, wait), unmarked() if call.steps.watched else contextlib.nullcontext():
            call.result = work(call.steps, **parameters)
        call.over = True
        return call.result

    call.work = again
    call.steps.start(watched=watched)
    try:
        again()
    except Exception as error:
        call.error = error
        raise
    return str(call.result) if call.result is not None else None


def note_failure(flow: Any, run: Any, state: Any) -> None:
    """Prefect's hook for flows that fail or crash: a line in reports/failures.log, and the last ones in its pages."""
    path = layout.root().resolve() / FAILURES
    path.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    cause = _calls[-1].error if _calls else None
    words = str((cause.__cause__ if isinstance(cause, Broken) else cause) or state.message or state.name)
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{now} {flow.name} {run.name}: {' '.join(words.split())}\n")
    with contextlib.suppress(Exception), warnings.catch_warnings():  # a note more; the line is written
        from prefect.artifacts import create_markdown_artifact

        warnings.simplefilter("ignore", FutureWarning)  # a hook runs when its flow run is over, and Prefect minds
        last = path.read_text(encoding="utf-8").splitlines()[-20:]
        create_markdown_artifact("\n".join(f"- {line}" for line in reversed(last)), key="failures",
                                 description="The last failures of this project's flows")
