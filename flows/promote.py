"""Move each task's champion where the rule says so, or put the previous one back.

    python -m flows.promote [--rollback inpainting]
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from flows import command

if TYPE_CHECKING:
    from prefect import Flow


def main(arguments: list[str] | None = None) -> int:
    """Promote or roll back; returns the exit status."""
    parser = command.parser_of("promote", (__doc__ or "").split("\n\n", maxsplit=1)[0],
                               "python -m flows.promote --rollback inpainting")
    parser.add_argument("--rollback", default="", metavar="TASK", help="put the previous champion of the task back")
    return command.run(_flow, parser, arguments,
                       lambda options: {"rollback": options.rollback, "wait": options.wait})


def _flow() -> Flow[..., Any]:
    from flows import deployed

    return deployed.promote


if __name__ == "__main__":
    sys.exit(main())
