"""The stage `validate`: the contracts of a task's pictures and samples; a broken one stops the task here."""

from pathlib import Path

from pipelines.machinery.steps import Steps
from restore_ml.base import layout
from restore_ml.base.files import write_text


def stage(step: Steps, key: str) -> None:
    """Check the manifests and the samples of the task `key`."""
    step("check_contracts", check_contracts, key)


def check_contracts(task: str) -> None:
    """Write validation/<task>.json, and the task's Data Docs beside what DVC tracks."""
    from restore_ml.degrading.contracts import validate

    root = layout.root()
    docs = root / layout.REPORTS / "data_docs"
    try:
        validate(root / layout.PREPARED, root / layout.SAMPLES, [task], root / layout.VALIDATION, docs / task)
    finally:
        write_index(docs)


def write_index(docs: Path) -> None:
    """A page that leads to the Data Docs of each task."""
    tasks = sorted(path.parent.name for path in docs.glob("*/index.html"))
    links = "\n".join(f'<li><a href="{task}/index.html">{task.replace("_", " ")}</a></li>' for task in tasks)
    write_text(docs / "index.html", "<!doctype html>\n<meta charset=\"utf-8\">\n<title>Data Docs</title>\n"
               f"<h1>Data Docs</h1>\n<ul>\n{links}\n</ul>\n")
