"""`make repro`: what is stale, over as many workers as there are cores, then promotion, MLflow, gallery and tables.

    python -m flows.rebuild [--profile quick] [--task inpainting] [--methods "vdsr glcic"] [--workers 2]

With `--task` that task is built and tracked, and what its runs need of others. With `--methods` only those runs are
trained and restored, and a preview table is printed that is not tracked: a tracked table of a part would pass for the
whole. `--workers` is how many stages run at once, `--runner` over what; the results are the same to the bit.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from flows import command
from flows.work.rebuild import select
from pipelines.machinery.runners import RUNNER, WORKERS, Runner
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.runs import settings

if TYPE_CHECKING:
    from prefect import Flow


def main(arguments: list[str] | None = None) -> int:
    """Rebuild; returns the exit status: 0, 2 after a user's mistake or a failed stage, 130 after Ctrl-C."""
    parser = command.parser_of("rebuild", (__doc__ or "").split("\n\n", maxsplit=1)[0],
                               "python -m flows.rebuild --profile quick --runner processes --workers 2")
    parser.add_argument("--profile", default="", help="rewrite the profile in params.yaml first")
    parser.add_argument("--task", default="", help="only this task")
    parser.add_argument("--methods", default="", help="only these runs, by name or method (\"vdsr glcic\")")
    add_runner(parser)
    return command.run(_flow, parser, arguments, lambda options: {
        "profile": options.profile, "task": options.task, "methods": _checked(options), "wait": options.wait,
        **runner_options(options)})


def add_runner(parser: Any) -> None:
    """The options that say who works, for every flow that rebuilds."""
    parser.add_argument("--runner", default="", metavar="RUNNER",
                        help="threads (default), processes, dask, ray; with the address of a cluster: "
                             f"dask:tcp://host:8786. Without the option ${RUNNER} counts")
    parser.add_argument("--workers", default="", metavar="N",
                        help=f"how many at once (default: ${WORKERS}, or the cores)")


def runner_options(options: Any) -> dict[str, Any]:
    """The parameters `runner` and `workers` of the flow; the environment where the options say nothing."""
    runner = options.runner or os.environ.get(RUNNER, "")
    workers = options.workers or os.environ.get(WORKERS, "") or "0"
    if not workers.isdigit():
        raise UserError(f"The number of workers is {workers!r}; give a whole number.")
    Runner.parse(runner, int(workers))
    return {"runner": runner, "workers": int(workers)}


def _checked(options: Any) -> list[str]:
    """The names of `--methods`; mistakes are told before anything is started."""
    methods = options.methods.replace(",", " ").split()
    select(settings.load(layout.root() / "params.yaml"), options.task, methods)
    return methods


def _flow() -> Flow[..., Any]:
    from flows import deployed

    return deployed.rebuild


if __name__ == "__main__":
    sys.exit(main())
