"""The stage `prepare`: pictures become manifests, splits, a quarantine and decoded shards."""

from pipelines.progress import bar
from pipelines.steps import Steps
from restore_ml import layout
from restore_ml.files import read_json


def stage(step: Steps, key: str) -> None:
    """Prepare all collections."""
    step("prepare_collections", prepare_collections)


def prepare_collections() -> None:
    """Write prepared/ from data/."""
    from restore_ml.data.prepare import prepare

    root = layout.root()
    with bar("prepare") as progress:
        prepare(root / layout.DATA, root / layout.PREPARED, read_json(root / layout.CODE / "prepare.json")["seed"],
                progress)
