"""The stage `register`: MLflow is brought up to date with what was built. It has no outs, so it always really runs."""

from pipelines.machinery.steps import Steps
from restore_ml.base import layout


def stage(step: Steps, key: str) -> None:
    """Log runs, models, tables and aliases."""
    step("log_comparison", log_comparison, retries=2)


def log_comparison() -> None:
    """Fill or refresh the MLflow store, and say what changed."""
    from restore_ml.tracking.sync import sync

    print(sync(layout.root()))
