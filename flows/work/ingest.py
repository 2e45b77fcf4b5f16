"""Ingest: take pictures, pin them with `dvc add`, empty the inbox, and commit the pointer where that is wanted."""

from __future__ import annotations

from pathlib import Path

from pipelines.machinery.steps import Steps
from restore_ml.base import layout
from restore_ml.base.programs import dvc, git
from restore_ml.data import inbox as inboxes

POINTER = f"{layout.DATA}.dvc"


def work(step: Steps, inbox: Path, collection: str, role: str, source: str, licence: str, settle: float,
         commit: bool) -> inboxes.Round:
    """The flow's work; returns what the round did."""
    root = layout.root().resolve()
    taken = step("take_pictures", inboxes.take, root, inbox, collection, role, source, licence, settle)
    print(taken)
    if taken.taken:
        step("dvc_add", dvc_add, root)
        newer = step("clear_inbox", taken.finish)
        if newer:
            print(f"{len(newer)} pictures were saved again meanwhile and stay in the inbox for the next round.")
    if commit and pointer_changed(root):
        step("commit_pointer", commit_files, root, [POINTER], f"Add pictures to {collection}")
    step.table("ingest", f"```\n{taken}\n```")
    return taken


def dvc_add(root: Path) -> None:
    """Pin the pictures; waits for another DVC."""
    dvc(root, "add", str(layout.DATA))


def pointer_changed(root: Path) -> bool:
    """Whether git has not committed data.dvc as it is."""
    return bool(git(root, "status", "--porcelain", "--", POINTER).strip())


def commit_files(root: Path, paths: list[str], message: str) -> None:
    """Commit these files alone; what else is staged stays staged. Nothing happens where they have not changed."""
    there = [path for path in paths if (root / path).exists()]
    git(root, "add", "--", *there)
    if not git(root, "status", "--porcelain", "--", *there).strip():
        return
    git(root, "commit", "--quiet", "--only", "-m", message, "--", *there)
    print(f"Committed {', '.join(there[:3])}{' and others' if len(there) > 3 else ''}: {message}.")
