"""The stage `train` of a run whose weights others trained: they are read, and nothing is trained."""

from pathlib import Path

from pipelines.machinery.steps import Steps
from restore_ml.base import layout
from restore_ml.base.files import read_json, write_text


def stage(step: Steps, key: str) -> None:
    """Fill the networks of the run `key` (task/run)."""
    step("import_weights", import_weights, key)


def import_weights(key: str) -> None:
    """Write models/<task>/<run>; a lack of memory or disk is tried again by the next rebuild."""
    from restore_ml.imported.model import import_run

    root, (task, run) = layout.root(), key.split("/")
    retry: Path = root / layout.retry_mark("train", task, run)
    record = import_run(read_json(root / layout.code("train", task, run)), root, root / layout.model(task, run))
    if record["status"] == "transient":
        write_text(retry, "")
    else:
        retry.unlink(missing_ok=True)
