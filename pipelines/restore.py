"""The stage `restore`: one run restores every test case of its task, from the inputs alone."""

from pipelines.machinery.cached import files_of
from pipelines.machinery.progress import bar
from pipelines.machinery.steps import Steps
from restore_ml.base import layout
from restore_ml.base.files import read_json, write_json, write_text


def stage(step: Steps, key: str) -> None:
    """Restore with the run `key` (task/run)."""
    step("restore_pictures", restore_pictures, key)


def restore_pictures(key: str) -> None:
    """Write restored/<task>/<run>; what DVC's cache holds of the last time is copied where it is the same."""
    from restore_ml.restoring.stage import restore_run

    root, (task, run) = layout.root(), key.split("/")
    spec = read_json(root / layout.code("restore", task, run))
    if reason := spec.get(layout.LEFT_OUT):
        write_json(root / layout.restored(task, run) / "status.json",
                   {"run": run, "status": layout.LEFT_OUT, "reason": f"it is {reason}", "cases": {}})
        return
    retry = root / layout.retry_mark("restore", task, run)
    earlier = files_of(root, layout.lock_file(task), f"restore@{run}", layout.restored(task, run))
    with bar(f"restore {key}") as progress:
        status = restore_run(spec, root, root / layout.restored(task, run), progress, earlier)
    if status.get("transient"):
        write_text(retry, "")
    else:
        retry.unlink(missing_ok=True)
