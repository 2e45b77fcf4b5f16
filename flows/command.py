"""What every flow shares: the project's lock, the way into Prefect and on without it, notes of failures, `serve`.

A flow is a typed function of `flows.deployed`, which Prefect validates, schedules and shows; its work is a function
`work(step, **parameters)` of its own module, made of named steps that are never done twice.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import server
from pipelines.__main__ import set_threads
from pipelines.steps import Broken, Steps
from restore_ml import layout
from restore_ml.errors import UserError

if TYPE_CHECKING:
    from prefect import Flow

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
        facts = json.loads((root / HOLDER).read_text(encoding="utf-8"))
        return f"{facts['what']} (process {facts['pid']}, since {facts['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that has not said its name"


def body(name: str, work: Work, wait: float, parameters: dict[str, Any]) -> Any:
    """The body of every flow: its work as steps, shown by Prefect where it runs as a flow, under the project's lock."""
    call = _calls[-1] if _calls else Call()
    watched = flow_run_id() != ""
    root = layout.root().resolve()

    def again() -> Any:
        with project_lock(root, name, wait):
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


def flow_run_id() -> str:
    """The id of the Prefect flow run that this is part of, or nothing."""
    if "prefect" not in sys.modules:
        return ""
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    return str(context.flow_run.id) if context and context.flow_run else ""


def call(flow: Flow[..., Any], parameters: dict[str, Any]) -> Any:
    """Call a flow of ours from the command line: watched by Prefect where its server can be had, plainly elsewhere.

    Raises:
        UserError: a parameter that Prefect refuses, or a mistake that the work met with.
    """
    from prefect.exceptions import ParameterTypeError, SignatureMismatchError
    from prefect.settings import temporary_settings

    from pipelines.link import quiet
    from pipelines.link import settings as prefect_settings

    quiet()
    try:
        flow.validate_parameters(parameters)
    except (ParameterTypeError, SignatureMismatchError) as error:
        raise UserError(sentence(flow.name, error)) from None
    root = layout.root().resolve()
    os.chdir(root)
    set_threads()
    url = _server(root)
    made = Call()
    _calls.append(made)
    try:
        if url is None:
            flow.fn(**flow.validate_parameters(parameters))
        else:
            _watched(flow, parameters, made, temporary_settings(prefect_settings(url)))
    except Broken as broken:
        raise (broken.__cause__ or broken) from None
    finally:
        _calls.pop()
    return made.result


def _watched(flow: Flow[..., Any], parameters: dict[str, Any], made: Call, settings: Any) -> None:
    try:
        with settings:
            flow(**parameters)
    except (Broken, UserError):
        raise
    except Exception as error:  # whatever it is, it is Prefect's: steps raise Broken
        if made.over:
            return
        print(f"The Prefect server went away ({type(error).__name__}); the rest runs without it.", file=sys.stderr)
        if made.work is None:
            flow.fn(**flow.validate_parameters(parameters))
        else:
            made.steps.start(watched=False)
            made.work()


def _server(root: Path) -> str | None:
    """The project's server, started once although two commands begin together."""
    from filelock import FileLock

    (root / layout.STATE).mkdir(parents=True, exist_ok=True)
    with FileLock(root / layout.STATE / "server.lock"):
        return server.start(root)


def sentence(name: str, error: Exception) -> str:
    """What Prefect says of wrong parameters, in one line."""
    lines = [line.strip(" -\t") for line in str(error).splitlines() if line.strip(" -\t")]
    return f"The flow {name} cannot take that: {'; '.join(lines[1:] or lines)}."


def note_failure(flow: Any, run: Any, state: Any) -> None:
    """Prefect's hook for flows that fail or crash: a line in reports/failures.log, and the last ones in its pages."""
    path = layout.root().resolve() / FAILURES
    path.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    cause = _calls[-1].error if _calls else None
    words = str((cause.__cause__ if isinstance(cause, Broken) else cause) or state.message or state.name)
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{now} {flow.name} {run.name}: {' '.join(words.split())}\n")
    with contextlib.suppress(Exception):  # a note more; the line is written
        from prefect.artifacts import create_markdown_artifact

        last = path.read_text(encoding="utf-8").splitlines()[-20:]
        create_markdown_artifact("\n".join(f"- {line}" for line in reversed(last)), key="failures",
                                 description="The last failures of this project's flows")


def serve(flow: Flow[..., Any], parameters: dict[str, Any], cron: str = "") -> None:
    """Offer the flow as a deployment on the project's own server and run what is scheduled, until Ctrl-C."""
    from prefect.exceptions import ParameterTypeError, SignatureMismatchError
    from prefect.flows import EntrypointType
    from prefect.settings import temporary_settings

    from pipelines.link import quiet
    from pipelines.link import settings as prefect_settings

    quiet()
    try:
        flow.validate_parameters(parameters)
    except (ParameterTypeError, SignatureMismatchError) as error:
        raise UserError(sentence(flow.name, error)) from None
    root = layout.root().resolve()
    os.chdir(root)
    url = _server(root)
    if url is None:
        raise UserError("Without its Prefect server nothing can be served; see .state/prefect/server.log.")
    paths = [str(root), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))  # where the runs find `flows`
    with temporary_settings(prefect_settings(url)):
        print(f"Serving {flow.name} at {url.removesuffix('/api')}; Ctrl-C ends it.")
        flow.serve(name=flow.name, cron=cron or None, parameters=parameters, limit=1, print_starting_message=False,
                   entrypoint_type=EntrypointType.MODULE_PATH)


def run(name: str, parser: argparse.ArgumentParser, arguments: list[str] | None,
        parameters: Callable[[argparse.Namespace], dict[str, Any]],
        rounds: Callable[[argparse.Namespace], float] = lambda options: 0.0) -> int:
    """The main function of a flow's command; returns 0, 2 after a mistake, 130 after Ctrl-C.

    `rounds`: seconds between two calls, for commands that watch; 0 calls once.
    """
    given = sys.argv[1:] if arguments is None else arguments
    serving = given[:1] == ["serve"]
    if serving:
        parser.add_argument("--cron", default="", help="when it is started by itself, as cron has it (UTC)")
    options = parser.parse_args(given[1:] if serving else given)
    try:
        from flows import deployed

        flow = getattr(deployed, name)
        if serving:
            serve(flow, parameters(options), options.cron)
            return 0
        pause = rounds(options)
        while True:
            try:
                call(flow, parameters(options))
            except UserError as error:
                if not pause:
                    raise
                print(f"error: {error}", file=sys.stderr)
            if not pause:
                return 0
            time.sleep(pause)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; the next start goes on from here.", file=sys.stderr)
        return 130


def parser_of(name: str, about: str, example: str) -> argparse.ArgumentParser:
    """A parser with the description, the example and what all flows take."""
    parser = argparse.ArgumentParser(
        f"python -m flows.{name}", description=about, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"example:\n  {example}\n\n`python -m flows.{name} serve` with the same options offers it as a "
               "deployment in Prefect's pages.")
    parser.add_argument("--wait", type=float, default=0.0, metavar="SECONDS",
                        help="wait so long for another flow of this project instead of refusing (default: 0)")
    return parser
