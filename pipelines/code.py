"""The stage `code`: settings, versions and hashes of the code, one file a stage and run."""

from pathlib import Path

from pipelines.machinery.steps import Steps
from restore_ml import layout
from restore_ml.errors import UserError
from restore_ml.files import write_text
from restore_ml.registry import TASKS
from restore_ml.settings import Params


def stage(step: Steps, key: str) -> None:
    """Write the folder `code` and the marker models/none."""
    step("fingerprint_code", fingerprint_code)


def fingerprint_code() -> int:
    """Write what every stage and run depends on; returns how many files there are."""
    from restore_ml.fingerprints import write_code
    from restore_ml.settings import load

    root, params = layout.root(), load()
    check_tables(root, params)
    files = write_code(root, params)
    prepare_homes(root, params)
    write_text(root / layout.MODELS / "none", "What a run needs that needs nothing.\n")
    return len(files)


def prepare_homes(root: Path, params: Params) -> None:
    """champions/<task> must be there, even without a champion, since the stage `champion` depends on it."""
    for task in TASKS:
        path = root / layout.CHAMPIONS / task / ".gitignore"
        if params.runs_of(task) and not path.exists():
            write_text(path, "/champion\n/previous\n")


def check_tables(root: Path, params: Params) -> None:
    """DVC cannot work out which tasks have runs, so dvc.yaml names them; a `UserError` says where the two differ."""
    from ruamel.yaml import YAML

    named = YAML(typ="safe").load((root / "dvc.yaml").read_text(encoding="utf-8"))["vars"][0]["tables"]
    with_runs = [task for task in TASKS if params.runs_of(task)]
    if sorted(named) != sorted(with_runs):
        raise UserError(f"The tasks with runs in params.yaml are {', '.join(with_runs) or 'none'}; write them into "
                        f"`tables` of dvc.yaml, which has {', '.join(named)}.")
