"""Promote: move the champions or put one back, pin them with DVC, and show it in MLflow."""

from __future__ import annotations

from pipelines.machinery.steps import Steps
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.registry import nearest, tables


def work(step: Steps, rollback: str) -> str:
    """The flow's work; returns its sentences."""
    from restore_ml.promotion import champions
    from restore_ml.tracking.sync import sync

    root = layout.root().resolve()
    if rollback and rollback not in tables():
        raise UserError(f"There is no task {rollback!r}; the tasks are {', '.join(tables())}."
                        f"{nearest(rollback, tables())}")
    if rollback:
        sentences = [step("rollback", champions.rollback, root, rollback)]
    else:
        sentences = step("promote", champions.promote, root)
    step("dvc_add", champions.dvc_add, root)
    print("\n".join(sentences))
    print(step("sync", sync, root, retries=2))
    step.table("promotion", "\n".join(f"- {sentence}" for sentence in sentences))
    return "\n".join(sentences)
