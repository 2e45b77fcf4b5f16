"""The stage `validate`: all Great Expectations suites in one process; a broken contract stops the pipeline here."""

from pipelines.machinery.steps import Steps
from restore_ml import layout
from restore_ml.files import read_json


def stage(step: Steps, key: str) -> None:
    """Check manifests and samples."""
    step("check_contracts", check_contracts)


def check_contracts() -> None:
    """Write validation/<task>.json for each task, and Data Docs beside what DVC tracks."""
    from restore_ml.data.contracts import validate

    root = layout.root()
    tasks = read_json(root / layout.CODE / "validate.json")["tasks"]
    validate(root / layout.PREPARED, root / layout.SAMPLES, tasks, root / layout.VALIDATION,
             root / layout.REPORTS / "data_docs")
