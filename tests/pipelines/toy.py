"""A small project with a stage of its own beside copies of the real machinery."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
STAGE = '''
import os
import sys
import time
from pathlib import Path

from restore_ml.base.errors import UserError

CHILDREN = 1 if sys.argv[-1] == "child" else 0


def work(key, word):
    note(f"in the child {word}")
    return 7


def stage(step, key):
    step("first", note, "first")
    if key == "mistake":
        step("mistake", mistake)
    if key == "bug":
        step("bug", bug)
    if key == "busy":
        step("busy", busy, retries=2)
    if key == "slow":
        step("slow", slow)
    if key == "child":
        note(f"child gave {step.children.pop(0).run('go')}")
    step("last", note, "last")


def note(what):
    with open("log.txt", "a") as file:
        file.write(what + "\\n")


def mistake():
    raise UserError("The toy is broken; mend it.")


def bug():
    raise ValueError("a bug in the toy")


def busy():
    note("busy")
    if Path("log.txt").read_text().count("busy") < 3:
        raise OSError("busy")


def slow():
    note(f"slow {os.getpid()}")
    while not Path("go").exists():
        time.sleep(0.05)
    note("slow ended")
'''


def make(root: Path) -> Path:
    """A project with the stage `toy`; its log.txt tells what was done."""
    shutil.copytree(ROOT / "pipelines", root / "pipelines", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "pipelines" / "toy.py").write_text(STAGE)
    (root / "params.yaml").write_text("profile: quick\nthreads: 1\n")
    (root / ".state").mkdir()
    return root


def environment(root: Path) -> dict[str, str]:
    """What a stage of the project is started with."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("PREFECT_", "RESTORE_ML_", "PYTHONPATH"))}
    return kept | {"PYTHONPATH": f"{root}{os.pathsep}{ROOT / 'src'}", "RESTORE_ML_ROOT": str(root),
                   "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
                   "MKL_NUM_THREADS": "1"}


def command(*arguments: str) -> list[str]:
    """The command of the stage, as dvc.yaml has it."""
    return [sys.executable, "-m", "pipelines", "toy", *arguments]


def log(root: Path) -> list[str]:
    """What the stage did, in order."""
    path = root / "log.txt"
    return path.read_text().splitlines() if path.exists() else []
