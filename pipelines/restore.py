"""The stage `restore`: one run restores every test case of its task, from the inputs alone."""

from pipelines.machinery.progress import bar
from pipelines.machinery.steps import Steps
from restore_ml import layout
from restore_ml.files import read_json


def stage(step: Steps, key: str) -> None:
    """Restore with the run `key`."""
    step("restore_pictures", restore_pictures, key)


def restore_pictures(key: str) -> None:
    """Write restored/<task>/<run>."""
    from restore_ml.restoration import restore_run

    root = layout.root()
    spec = read_json(root / layout.CODE / "restore" / f"{key}.json")
    with bar(f"restore {key}") as progress:
        restore_run(spec, root, root / layout.RESTORED / spec["task"] / key, progress)
