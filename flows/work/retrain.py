"""Retrain: ingest and rebuild as those flows do, and write down what came of it."""

from __future__ import annotations

import datetime
from pathlib import Path

from flows.work import ingest, rebuild
from pipelines.machinery.runners import Runner
from pipelines.machinery.steps import Steps
from restore_ml.base import layout
from restore_ml.base.files import write_text
from restore_ml.data import inbox as inboxes
from restore_ml.promotion import decisions
from restore_ml.registry import tables

REPORTS = layout.REPORTS / "retrain"


def work(step: Steps, inbox: Path | None, collection: str, role: str, profile: str, runner: str, workers: int,
         promote: bool, commit: bool, settle: float, only_new: bool) -> str:
    """The flow's work; returns where the report lies, or that nothing was to do."""
    root = layout.root().resolve()
    came = None
    if inbox is not None:
        came = ingest.work(step, inbox, collection, role, "", "", settle, commit=False)
        if only_new and not came.added and not came.already:
            return "No pictures came."
    step("set_profile", rebuild.set_profile, root, profile)
    before = step("stages_before", stages, root)
    failed = step("build_stages", rebuild.build, root, "", [], Runner.parse(runner or rebuild.DEFAULT, workers))
    sentences = step("promote_and_show", rebuild.finish, root, tables(), promote)
    changed = step("stages_after", lambda: [name for name, now in stages(root).items() if before.get(name) != now])
    path = step("report", report, root, came, changed, sentences, promote)
    step.table("retrain", path.read_text(encoding="utf-8"))
    if commit:
        kept = (file for pattern in ("*/*.dvc", "*/history/*.json") for file in (root / layout.CHAMPIONS).glob(pattern))
        files = [layout.PARAMS, layout.lock_file(), *(path.relative_to(root) for name in ("dvc.lock", "runs.yaml")
                                                      for path in sorted((root / layout.GRAPH).glob(f"*/{name}")))]
        pointers = [str(file.relative_to(root)) for file in sorted(kept)]
        step("commit_results", ingest.commit_files, root, [ingest.POINTER, *map(str, files), *pointers],
             "Record the results of a retraining" + (f" with pictures of {collection}" if came else ""))
    print(f"Report      {path}")
    rebuild.tell(failed)
    return str(path)


def stages(root: Path) -> dict[str, str]:
    """What the locks say of every stage (`task: stage` of a task's own), as text: another text is another result."""
    from ruamel.yaml import YAML

    digests: dict[str, str] = {}
    for path in [root / layout.lock_file(), *sorted((root / layout.GRAPH).glob("*/dvc.lock"))]:
        lock = YAML(typ="safe").load(path.read_text(encoding="utf-8")) if path.exists() else {}
        title = "" if path.parent == root else f"{path.parent.name}: "
        digests |= {f"{title}{name}": str(entry) for name, entry in (lock.get("stages") or {}).items()}
    return digests


def report(root: Path, came: inboxes.Round | None, changed: list[str], sentences: list[str], promote: bool) -> Path:
    """Write reports/retrain/<n>.md: what came, what was rebuilt, what was decided, the tables, where to look."""
    folder = root / REPORTS
    numbers = [int(path.stem) for path in folder.glob("*.md") if path.stem.isdigit()] if folder.is_dir() else []
    path = folder / f"{max(numbers, default=0) + 1}.md"
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    parts = [f"# Retraining {path.stem}", f"{now}, commit {decisions.commit(root)}.",
             "## Pictures", f"```\n{came}\n```" if came else "No inbox was looked into.",
             "## Rebuilt", ", ".join(f"`{name}`" for name in changed) or "Nothing was stale.",
             "## Decisions", "\n".join(f"- {sentence}" for sentence in sentences)
             if promote else "Not asked for: the champions stay as they are."]
    for task in tables():
        table = root / layout.comparison(task) / "table.md"
        if table.exists():
            parts += [f"## {task.replace('_', ' ').capitalize()}", table.read_text(encoding="utf-8").strip()]
    links = [(name, root / layout.REPORTS / file) for name, file in
             (("Gallery", "gallery/index.html"), ("Data Docs", "data_docs/index.html"))]
    parts += ["## Where to look", "\n".join(f"- [{name}]({page.as_uri()})" for name, page in links)]
    write_text(path, "\n\n".join(parts) + "\n")
    return path
