"""Retrain: ingest, rebuild what is stale, compare, promote or keep, and report.

    python -m flows.retrain [--inbox ~/inbox --collection holiday] [--profile cpu] [--runner dask --workers 2]
                            [--no-promote] [--commit] [--watch 600]

With `--watch` the inbox is looked at every so many seconds and a rebuild follows when pictures came. Every retraining
leaves reports/retrain/<n>.md with its decisions and tables.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from flows import command, ingest, rebuild

if TYPE_CHECKING:
    from prefect import Flow


def main(arguments: list[str] | None = None) -> int:
    """Retrain once, or whenever pictures have come; returns the exit status."""
    parser = command.parser_of("retrain", (__doc__ or "").split("\n\n", maxsplit=1)[0],
                               "python -m flows.retrain --inbox ~/inbox --collection holiday --profile cpu")
    ingest.add_options(parser, required=False)
    parser.add_argument("--profile", default="", help="rewrite the profile in params.yaml first")
    parser.add_argument("--no-promote", dest="promote", action="store_false", help="compare, and keep the champions")
    parser.add_argument("--watch", type=float, default=0.0, metavar="SECONDS",
                        help="look into the inbox every so many seconds; rebuild when pictures came")
    rebuild.add_runner(parser)

    def parameters(options: Any) -> dict[str, Any]:
        shared = {key: value for key, value in ingest.parameters(options).items() if key not in ("source", "licence")}
        return {**shared, **rebuild.runner_options(options), "profile": options.profile, "promote": options.promote,
                "only_new": options.watch > 0, "wait": options.wait}

    return command.run(_flow, parser, arguments, parameters, lambda options: max(0.0, options.watch))


def _flow() -> Flow[..., Any]:
    from flows import deployed

    return deployed.retrain


if __name__ == "__main__":
    sys.exit(main())
