"""The stage `restore` of a run whose outputs another tool made: they are looked up, and nothing is restored."""

from pipelines.machinery.steps import Steps
from restore_ml.base import layout
from restore_ml.base.files import read_json


def stage(step: Steps, key: str) -> None:
    """Look up the outputs of the run `key` (task/run)."""
    step("look_up_outputs", look_up_outputs, key)


def look_up_outputs(key: str) -> None:
    """Write restored/<task>/<run>."""
    from restore_ml.outside.stage import restore

    root, (task, run) = layout.root(), key.split("/")
    restore(read_json(root / layout.code("restore", task, run)), root, root / layout.restored(task, run))
