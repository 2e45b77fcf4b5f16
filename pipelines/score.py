"""The stage `score`: one row a picture, case and run of a task."""

from pipelines.steps import Steps
from restore_ml import layout
from restore_ml.files import read_json, write_whole


def stage(step: Steps, key: str) -> None:
    """Score the task `key`."""
    step("score_pictures", score_pictures, key)


def score_pictures(task: str) -> int:
    """Write scores/<task>.parquet; returns the number of rows."""
    from restore_ml.evaluation.scoring import score

    root = layout.root()
    rows = score(task, root / layout.SAMPLES / task, root / layout.RESTORED / task,
                 read_json(root / layout.CODE / f"{task}.runs.json"))
    write_whole(root / layout.SCORES / f"{task}.parquet", lambda temporary: rows.to_parquet(temporary, index=False))
    return len(rows)
