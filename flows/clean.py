"""`make clean-state`: forget servers, databases, checkpoints and costs. What DVC and git hold stays."""

from __future__ import annotations

import shutil
import sys

from pipelines.machinery import server
from restore_ml import layout


def main() -> int:
    """Stop the Prefect server and remove .state; refuse while a rebuild runs."""
    from filelock import FileLock, Timeout

    from flows.guard import LOCK

    root = layout.root().resolve()
    (root / layout.STATE).mkdir(exist_ok=True)
    try:
        with FileLock(root / LOCK, timeout=0):
            server.stop(root)
            shutil.rmtree(root / layout.STATE, ignore_errors=True)
    except Timeout:
        print("error: A rebuild is running; end it first.", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
