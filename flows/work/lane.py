"""A lane of a parallel rebuild: a process that runs `dvc repro --single-item` for the stages it is told, one line each.

DVC is imported once, not once a stage. Its repository lock is free while a stage's command runs, so lanes wait for one
another only while hashes are written down.
"""

from __future__ import annotations

import contextlib
import os
import sys

from pipelines.machinery.client import die_with_parent


def main() -> int:
    """Read lines of stage names and answer each with an exit status; what DVC says goes to standard error."""
    die_with_parent()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from dvc.cli import main as dvc

    for line in sys.stdin:
        status = 255
        with contextlib.suppress(Exception):  # DVC prints its own errors
            status = dvc(["--wait-for-lock", "repro", "--single-item", *line.split()])
        print(f"{line.strip()}: {status}", file=sys.stderr, flush=True)
        print(status, file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
