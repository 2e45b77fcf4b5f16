"""The stage `champion`: the champion's stored weights, restored and scored on today's test pictures."""

from pipelines.machinery.steps import Steps
from restore_ml.base import layout


def stage(step: Steps, key: str) -> None:
    """Restore and score with the champion of the task `key`; without one the table is empty."""
    step("score_champion", score_champion, key)


def score_champion(task: str) -> int:
    """Write scores/champion/<task>.parquet; returns the number of rows."""
    from restore_ml.evaluation.scoring import write_scores
    from restore_ml.promotion import champion_scores as standing

    root = layout.root()
    rows = standing.score_champion(root, task)
    write_scores(standing.path(root, task), rows)
    return len(rows)
