"""`make clean-state`: forget servers, databases, checkpoints and costs. What DVC and git hold stays."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from pipelines.machinery import server
from restore_ml.base import layout
from restore_ml.base.errors import UserError, report


def main() -> int:
    """Stop the Prefect server and remove .state; refuse while a rebuild runs."""
    try:
        _clean(layout.project().resolve())
    except (Exception, KeyboardInterrupt) as error:
        return report(error, "make clean-state")
    return 0


def _clean(root: Path) -> None:
    from filelock import FileLock, Timeout

    from flows.guard import LOCK

    (root / layout.STATE).mkdir(exist_ok=True)
    try:
        with FileLock(root / LOCK, timeout=0):
            server.stop(root)
            shutil.rmtree(root / layout.STATE, ignore_errors=True)
            if (root / layout.STATE).exists():
                shutil.rmtree(root / layout.STATE)  # and what it minds is said
    except Timeout:
        raise UserError("A rebuild is running; end it first.") from None


if __name__ == "__main__":
    sys.exit(main())
