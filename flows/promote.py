"""Move each task's champion where the rule says so, or put the previous one back.

    python -m flows.promote [--rollback inpainting]
"""

from __future__ import annotations

import sys

from flows import command
from pipelines.steps import Steps
from restore_ml import layout
from restore_ml.errors import UserError
from restore_ml.registry import TASKS, nearest


def main(arguments: list[str] | None = None) -> int:
    """Promote or roll back; returns the exit status."""
    parser = command.parser_of("promote", (__doc__ or "").split("\n\n", maxsplit=1)[0],
                               "python -m flows.promote --rollback inpainting")
    parser.add_argument("--rollback", default="", metavar="TASK", help="put the previous champion of the task back")
    return command.run("promote", parser, arguments,
                       lambda options: {"rollback": options.rollback, "wait": options.wait})


def work(step: Steps, rollback: str) -> str:
    """The flow's work; returns its sentences."""
    from restore_ml.tracking import champions
    from restore_ml.tracking.sync import sync

    root = layout.root().resolve()
    if rollback and rollback not in TASKS:
        raise UserError(f"There is no task {rollback!r}; the tasks are {', '.join(TASKS)}.{nearest(rollback, TASKS)}")
    if rollback:
        sentences = [step("rollback", champions.rollback, root, rollback)]
    else:
        sentences = step("promote", champions.promote, root)
    step("dvc_add", champions.dvc_add, root)
    print("\n".join(sentences))
    print(step("sync", sync, root, retries=2))
    step.table("promotion", "\n".join(f"- {sentence}" for sentence in sentences))
    return "\n".join(sentences)


if __name__ == "__main__":
    sys.exit(main())
