"""Delete what nothing names any more: old MLflow runs, versions without an alias, leftovers, DVC's garbage.

    python -m flows.prune [--dry-run] [--keep-days 30] [--all-commits]

What dvc.lock (of the workspace, HEAD, branches and tags) or champions/ names stays, whatever its age. Try it with
`--dry-run`, which prints exactly what would go and how many bytes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from flows import command

if TYPE_CHECKING:
    from prefect import Flow


def main(arguments: list[str] | None = None) -> int:
    """Prune; returns the exit status."""
    parser = command.parser_of("prune", (__doc__ or "").split("\n\n", maxsplit=1)[0],
                               "python -m flows.prune --dry-run --keep-days 14")
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and delete nothing")
    parser.add_argument("--keep-days", type=int, default=30, metavar="N", help="what is younger stays (default: 30)")
    parser.add_argument("--all-commits", action="store_true",
                        help="keep what any commit names in DVC's cache, not only branches and tags")
    return command.run(_flow, parser, arguments, lambda options: {
        "dry_run": options.dry_run, "keep_days": options.keep_days, "all_commits": options.all_commits,
        "wait": options.wait})


def _flow() -> Flow[..., Any]:
    from flows import deployed

    return deployed.prune


if __name__ == "__main__":
    sys.exit(main())
