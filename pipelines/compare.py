"""The stage `compare`: tables, plots and metrics of a task from its score rows."""

from pipelines.machinery.steps import Steps
from restore_ml import layout


def stage(step: Steps, key: str) -> None:
    """Compare the runs of the task `key`, and show the table in Prefect."""
    step("compare_runs", compare_runs, key)
    table = layout.root() / layout.COMPARISON / key / "table.md"
    step.table(f"comparison-{key.replace('_', '-')}", table.read_text(encoding="utf-8"))


def compare_runs(task: str) -> None:
    """Write comparison/<task>."""
    import pandas

    from restore_ml.evaluation.comparison import compare

    root = layout.root()
    compare(task, pandas.read_parquet(root / layout.SCORES / f"{task}.parquet"), root / layout.MODELS,
            root / layout.COMPARISON / task)
