"""The stage `code`: settings, versions and hashes of the code, one file a stage and run."""

from pathlib import Path

from pipelines.machinery.steps import Steps
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import write_text
from restore_ml.registry import tables
from restore_ml.runs.settings import Params


def stage(step: Steps, key: str) -> None:
    """Write the folder `code` and the marker models/none."""
    step("fingerprint_code", fingerprint_code)


def fingerprint_code() -> int:
    """Write what every stage and run depends on; returns how many files there are. `UserError` where params.yaml asks
    for a feature network whose weights are not there."""
    from restore_ml.evaluation.perceptual import asked
    from restore_ml.runs.fingerprints import without_weights, write_code
    from restore_ml.runs.settings import load

    root, params = layout.root(), load()
    if fault := without_weights(params):
        raise UserError(fault)
    files = write_code(root, params)
    prepare_homes(root, params)
    if absent := asked(params.profile)[1]:
        print(absent)
    write_text(root / layout.slot(layout.NONE), "What fills an empty slot of a run.\n")
    return len(files)


def prepare_homes(root: Path, params: Params) -> None:
    """champions/<task> must be there, even without a champion, since the stage `champion` depends on it."""
    for task in tables():
        path = root / layout.champions(task) / ".gitignore"
        if params.runs_of(task) and not path.exists():
            write_text(path, "/champion\n/previous\n")
