"""`python -m pipelines NAME [KEY]` runs a stage: through the fork server when it is there, else in this process.

Only the standard library is imported until that is known, so that a stage costs next to nothing to start.
"""

import os
import re
import sys
from pathlib import Path

DEFAULT_THREADS = 2
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def set_threads() -> None:
    """Give the numerical libraries the tracked number of threads, before they are loaded."""
    try:
        text = Path("params.yaml").read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return
    stated = re.search(r"^threads[ \t]*:[ \t]*(\d+)[ \t]*(?:#.*)?$", text, re.MULTILINE)
    if stated is None and "threads" in text:  # written in another way
        stated_as: object = _parsed_threads(Path("params.yaml"))
    else:
        stated_as = stated[1] if stated else DEFAULT_THREADS
    os.environ.update(dict.fromkeys(THREADS, str(stated_as)))


def _parsed_threads(path: Path) -> object:
    """What the YAML says, however it is written; the default where it says nothing that can be used."""
    from restore_ml.base.errors import UserError
    from restore_ml.runs.plain_yaml import read_mapping

    try:
        threads = read_mapping(path, ["threads"]).get("threads", DEFAULT_THREADS)
    except UserError:  # the stage will say it
        return DEFAULT_THREADS
    return threads if type(threads) is int and threads > 0 else DEFAULT_THREADS


def main(arguments: list[str]) -> int:
    """Run the stage that the arguments name; returns its exit status."""
    if not 1 <= len(arguments) <= 2:
        print("Give the name of a stage and, where it has one, its key: "
              "python -m pipelines train super_resolution/vdsr", file=sys.stderr)
        return 2
    parent = os.getppid()
    set_threads()
    from pipelines.machinery.client import (
        REBUILD,
        die_with_parent,
        dvc_behind_shell,
        ended,
        run_elsewhere,
        work_watched,
    )

    die_with_parent(parent)  # DVC killed alone must not leave a stage behind that writes
    if ended(os.environ.get(REBUILD, "")):  # killed before the system was asked to tell us
        print("The rebuild that started this stage has ended.", file=sys.stderr)
        return 1
    dvc = dvc_behind_shell()
    status = run_elsewhere(arguments, dvc)
    if status is not None:
        return status

    def work() -> int:
        from pipelines.machinery.stage import run

        return run(*arguments)

    return work() if dvc is None else work_watched(work, dvc)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
