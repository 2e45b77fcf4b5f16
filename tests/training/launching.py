"""Real small trainings by `accelerate launch`, each in a project of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from restore_ml import registry
from restore_ml.base.files import read_json, write_json, write_text
from restore_ml.data import shards
from restore_ml.data.shards import Record
from tests.tracking.small_project import picture
from tests.training import toy

ROOT = Path(__file__).parents[2]
TASK = "super_resolution"
SETTINGS = {"layers": 4, "width": 8, "batch": 8, "patch": 16, "scales": [2], "steps": 30}
HOOK = '''
import os
import signal

from restore_ml import registry
from restore_ml.training import train

MODE = os.environ.get("TOY_MODE", "")


class Classes(dict):
    """The toy method is loaded when it is asked for, so that a process that asks for none starts quickly."""

    def __call__(self, task, method):
        from tests.training.toy import ToyMethod

        return ToyMethod


def task(name):
    return parts(name).task


def parts(name):
    from tests.training.toy import PARTS

    return PARTS


def parts(name):
    from tests.training.toy import PARTS

    return PARTS


def stumble():
    """End rank 1 before its eighth step, as MODE says."""
    from restore_ml.training import loop

    real, count = loop._step, [0]

    def step(*arguments):
        count[0] += 1
        if count[0] == 8:
            if MODE == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise {"memory": MemoryError(), "bug": ZeroDivisionError("a bug in the toy")}[MODE]
        return real(*arguments)

    loop._step = step


registry.method_class, registry.task, registry.parts = Classes(), task, parts
train.train_run.__kwdefaults__["checkpoint_seconds"] = 0.0
if MODE and os.environ.get("RANK") == "1":
    stumble()
'''
"""What every Python process of a toy project runs at its start."""


def project(root: Path, processes: int, **settings: Any) -> dict[str, Any]:
    """A project with the training samples of four pictures and a narrow VDSR; returns the training's spec."""
    pictures = [Record(f"{number:064x}", {"image": picture(number, 40)}) for number in range(4)]
    records = registry.parts(TASK).training.records(pictures, 1, {"scales": [2], "variants": []})
    shards.write(root / f"samples/{TASK}/train/0.arrow", list(records))
    chosen = registry.method_class(TASK, "vdsr")({**SETTINGS, **settings}).settings
    return _spec(root, "vdsr", TASK, processes, chosen)


def toy_project(root: Path, processes: int, **settings: Any) -> dict[str, Any]:
    """A project with the toy task (batch norm, dropout, own draws, a pool), saved after each step."""
    toy.material(root / "samples/toy/train")
    write_text(root / "sitecustomize.py", HOOK)
    return _spec(root, "toy", "toy", processes, toy.ToyMethod(settings).settings)


def _spec(root: Path, run: str, task: str, processes: int, settings: dict[str, Any]) -> dict[str, Any]:
    spec = {"run": run, "task": task, "method": run, "slots": {}, "seed": 5, "settings": settings, "threads": 1,
            "processes": processes, "precision": "fp32", "versions": {}, "modules": {}}
    write_json(root / f"code/train/{task}/{run}.json", spec)
    return spec


def start(root: Path, run: str, **changes: str) -> subprocess.Popen[str]:
    """The child of the stage `train` as a process of its own."""
    key = next((root / "code/train").glob(f"*/{run}.json")).relative_to(root / "code/train").with_suffix("").as_posix()
    text = f"import sys\nfrom pipelines.train import work\nsys.exit(work({key!r}, ''))"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RESTORE_ML_", "PYTHONPATH"))}
    given = {"PYTHONPATH": f"{root}{os.pathsep}{ROOT}", "RESTORE_ML_ROOT": str(root), "OMP_NUM_THREADS": "1",
             "PYTHONDONTWRITEBYTECODE": "1", **changes}
    return subprocess.Popen([sys.executable, "-c", text], cwd=root, env=kept | given, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def train(root: Path, run: str, **changes: str) -> tuple[int, str, dict[str, Any]]:
    """Train: the exit status, what was printed, and model.json where there is one."""
    process = start(root, run, **changes)
    text, _ = process.communicate(timeout=240)
    path = next((root / "models").glob(f"*/{run}/model.json"), root / "models" / "none.json")
    return process.returncode, text, read_json(path) if path.exists() else {}
