"""The stages `train` and `restore` of a run whose outputs another tool made (`restore_ml.outside`)."""

from functools import partial
from pathlib import Path
from typing import Any

from pipelines.machinery.steps import Steps
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json

STAGES = ("train", "restore")


def is_outside(name: str, key: str) -> bool:
    """Whether the stage `name` of the run `key` (task/run) is one of these."""
    if name not in STAGES or key.count("/") != 1:
        return False
    try:
        spec = read_json(layout.root() / layout.code(name, *key.split("/")))
    except UserError:  # the stage itself will say it
        return False
    return isinstance(spec, dict) and "outputs" in spec


def stage_of(name: str) -> Any:
    """The stage `train` or `restore`."""
    return partial(_run, name)


def _run(name: str, step: Steps, key: str) -> None:
    step("keep_no_model" if name == "train" else "look_up_outputs", work, name, key)


def work(name: str, key: str) -> None:
    """Write models/<task>/<run>, or restored/<task>/<run>."""
    from restore_ml.outside import stage

    root = layout.root()
    spec = read_json(root / layout.code(name, *key.split("/")))
    out: Path = root / (layout.model if name == "train" else layout.restored)(*key.split("/"))
    (stage.train if name == "train" else stage.restore)(spec, root, out)
