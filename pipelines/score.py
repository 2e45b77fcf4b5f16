"""The stage `score`: one row a picture, case and run of a task."""

from pipelines.machinery.steps import Steps
from restore_ml import layout
from restore_ml.files import read_json


def stage(step: Steps, key: str) -> None:
    """Score the task `key`."""
    step("score", score_pictures, key)


def score_pictures(task: str) -> int:
    """Write scores/<task>.parquet; returns the number of rows."""
    from restore_ml.evaluation.scoring import score, write_scores

    root = layout.root()
    rows = score(task, root / layout.SAMPLES / task, root / layout.RESTORED / task,
                 read_json(root / layout.CODE / f"{task}.runs.json"))
    write_scores(root / layout.SCORES / f"{task}.parquet", rows)
    return len(rows)
