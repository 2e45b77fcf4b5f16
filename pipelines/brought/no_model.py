"""The stage `train` of a run whose outputs another tool made: there is no model, and model.json says so."""

from pipelines.machinery.steps import Steps
from restore_ml.base import layout
from restore_ml.base.files import read_json


def stage(step: Steps, key: str) -> None:
    """Say of the run `key` (task/run) that it has no model."""
    step("keep_no_model", keep_no_model, key)


def keep_no_model(key: str) -> None:
    """Write models/<task>/<run>/model.json."""
    from restore_ml.outside.stage import train

    root, (task, run) = layout.root(), key.split("/")
    train(read_json(root / layout.code("train", task, run)), root, root / layout.model(task, run))
