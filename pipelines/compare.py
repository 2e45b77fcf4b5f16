"""The stage `compare`: tables, plots and metrics of a task from the scores of its runs."""

from pipelines.machinery.steps import Steps
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json


def stage(step: Steps, key: str) -> None:
    """Compare the runs of the task `key`, and show the table in Prefect."""
    step("compare_runs", compare_runs, key)
    table = layout.root() / layout.comparison(key) / "table.md"
    step.table(f"comparison-{key.replace('_', '-')}", table.read_text(encoding="utf-8"))


def compare_runs(task: str) -> None:
    """Write comparison/<task>."""
    from restore_ml.evaluation.comparison import compare, read_about
    from restore_ml.evaluation.scoring import read_task, scored_runs

    root = layout.root()
    spec = read_json(root / layout.code("compare", task))
    scores = read_task(root, task)
    if scores is None:
        raise UserError(f"No run of {task} is scored; `dvc repro` scores them.")
    compare(task, scores, read_about(root, task, scored_runs(root, task)), root / layout.comparison(task),
            spec["primary_case"])
