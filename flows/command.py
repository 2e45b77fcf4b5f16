"""What the command lines of the flows share: their parser, the way into Prefect and on without it, `serve`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.guard import Call, called
from pipelines.__main__ import set_threads
from pipelines.machinery import server
from pipelines.machinery.steps import Broken
from restore_ml.base import layout
from restore_ml.base.errors import Terminated, UserError, heeding_termination, prepare_screen, report, sentence

if TYPE_CHECKING:
    from prefect import Flow


def call(flow: Flow[..., Any], parameters: dict[str, Any]) -> Any:
    """Call a flow of ours from the command line: watched by Prefect where its server can be had, plainly elsewhere.

    Raises:
        UserError: a parameter that Prefect refuses, or a mistake that the work met with.
    """
    from prefect.settings import temporary_settings

    from pipelines.machinery.link import quiet
    from pipelines.machinery.link import settings as prefect_settings

    quiet()
    _check(flow, parameters)
    root = layout.project().resolve()
    os.chdir(root)
    set_threads()
    url = _server(root)
    with called() as started:
        try:
            if url is None:
                flow.fn(**flow.validate_parameters(parameters))
            else:
                _watched(flow, parameters, started, temporary_settings(prefect_settings(url)))
        except Broken as broken:
            raise (broken.__cause__ or broken) from None
    return started.result


def _watched(flow: Flow[..., Any], parameters: dict[str, Any], started: Call, settings: Any) -> None:
    from pipelines.machinery.link import end_killed, marked

    try:
        with settings, marked():
            with contextlib.suppress(Exception):  # if the server is gone, the next line meets with it
                end_killed()
            flow(**parameters)
    except (Broken, UserError):
        raise
    except Exception as error:  # whatever it is, it is Prefect's: steps raise Broken
        if started.over:
            return
        print(f"The Prefect server went away ({type(error).__name__}); the rest runs without it.", file=sys.stderr)
        if started.work is None:
            flow.fn(**flow.validate_parameters(parameters))
        else:
            started.steps.start(watched=False)
            started.work()


def _server(root: Path) -> str | None:
    """The project's server, started once although two commands begin together."""
    from filelock import FileLock

    (root / layout.STATE).mkdir(parents=True, exist_ok=True)
    with FileLock(root / layout.STATE / "server.lock"):
        return server.start(root)


def _check(flow: Flow[..., Any], parameters: dict[str, Any]) -> None:
    """Tell what Prefect says of wrong parameters in one line, a `UserError`, before anything is started."""
    from prefect.exceptions import ParameterTypeError, SignatureMismatchError

    try:
        flow.validate_parameters(parameters)
    except (ParameterTypeError, SignatureMismatchError) as error:
        lines = [line.strip(" -\t") for line in str(error).splitlines() if line.strip(" -\t")]
        raise UserError(f"The flow {flow.name} cannot take that: {'; '.join(lines[1:] or lines)}.") from None


def serve(flow: Flow[..., Any], parameters: dict[str, Any], cron: str = "") -> None:
    """Offer the flow as a deployment on the project's own server and run what is scheduled, until Ctrl-C."""
    from prefect.flows import EntrypointType
    from prefect.settings import temporary_settings

    from pipelines.machinery.link import quiet
    from pipelines.machinery.link import settings as prefect_settings

    quiet()
    _check(flow, parameters)
    root = layout.project().resolve()
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


def run(flow: Callable[[], Flow[..., Any]], parser: argparse.ArgumentParser, arguments: list[str] | None,
        parameters: Callable[[argparse.Namespace], dict[str, Any]],
        rounds: Callable[[argparse.Namespace], float] = lambda options: 0.0) -> int:
    """The main function of a flow's command; returns 0, or what `restore_ml.base.errors.report` gives.

    `flow` gives the flow once the options are known, so that --help need not wait for Prefect. `rounds`: seconds
    between two calls, for commands that watch; 0 calls once.
    """
    words = sys.argv[1:] if arguments is None else arguments
    serving = words[:1] == ["serve"]
    if serving:
        parser.add_argument("--cron", default="", help="when it is started by itself, as cron has it (UTC)")
    options = parser.parse_args(words[1:] if serving else words)
    prepare_screen()
    try:
        with heeding_termination():
            if serving:
                serve(flow(), parameters(options), options.cron)
            else:
                _rounds(flow(), lambda: parameters(options), rounds(options))
        return 0
    except (Exception, KeyboardInterrupt, Terminated) as error:
        return report(error, f"{parser.prog} {' '.join(words)}".strip())


def _rounds(flow: Flow[..., Any], parameters: Callable[[], dict[str, Any]], pause: float) -> None:
    """Call the flow once, or with a pause again and again: then what is no bug is said, and the next round tries."""
    while True:
        try:
            call(flow, parameters())
        except Exception as error:
            told = sentence(error) if pause else None
            if told is None:
                raise
            print(f"error: {told}", file=sys.stderr)
        if not pause:
            return
        time.sleep(pause)


def parser_of(name: str, about: str, example: str) -> argparse.ArgumentParser:
    """A parser with the description, the example and what all flows take."""
    parser = argparse.ArgumentParser(
        f"python -m flows.{name}", description=about, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"example:\n  {example}\n\n`python -m flows.{name} serve` with the same options offers it as a "
               "deployment in Prefect's pages.")
    parser.add_argument("--wait", type=float, default=0.0, metavar="SECONDS",
                        help="wait so long for another flow of this project instead of refusing (default: 0)")
    return parser
