"""Prune: look for what nothing names any more, list it, and delete it unless only the list is wanted."""

from __future__ import annotations

from collections.abc import Callable

from flows.work import garbage
from flows.work.garbage import Item
from pipelines.machinery.steps import Steps
from restore_ml.base import layout

SHOWN = 20
"""Lines of each kind on the screen; the whole list lies in reports/prune.txt."""


def work(step: Steps, dry_run: bool, keep_days: int, all_commits: bool) -> str:
    """The flow's work; returns its last sentence."""
    root = layout.root().resolve()
    left = step("find_leftovers", garbage.leftovers, root, keep_days)
    runs = step("find_mlflow_runs", garbage.mlflow_runs, root, keep_days)
    objects = step("find_dvc_objects", garbage.dvc_objects, root, all_commits)
    items = [*left, *runs, *objects]
    text = listing(items, lambda item: item.name)
    step("write_list", write_list, items)
    if garbage.shared_cache(root):
        text += "\nDVC's cache lies outside this project, so nothing in it is touched."
    print(text)
    if dry_run:
        sentence = f"Would free {_bytes(items)}; nothing was deleted."
    else:
        step("remove_leftovers", garbage.remove, root, left)
        step("delete_mlflow_runs", garbage.delete_runs, root, runs)
        if objects:
            step("collect_dvc_objects", garbage.collect, root, all_commits)
        sentence = f"Freed {_bytes(items)}."
    print(sentence)
    step.table("prune", f"```\n{text}\n```\n\n{sentence}")
    return sentence


def write_list(items: list[Item]) -> None:
    """Write every item to reports/prune.txt."""
    from restore_ml.base.files import write_text

    lines = [f"{item.kind}\t{item.size}\t{item.name}\t{item.reason}" for item in items]
    write_text(layout.root() / layout.REPORTS / "prune.txt", "\n".join(lines) + "\n")


def listing(items: list[Item], name: Callable[[Item], str]) -> str:
    """The items by kind with their bytes, the first of each by name."""
    lines = []
    for kind in sorted({item.kind for item in items}):
        members = [item for item in items if item.kind == kind]
        lines.append(f"{kind}: {len(members)}, {_bytes(members)}")
        lines += [f"  {name(item)} ({item.size} bytes): {item.reason}" for item in members[:SHOWN]]
        lines += [f"  and {len(members) - SHOWN} more (all in reports/prune.txt)"] if len(members) > SHOWN else []
    return "\n".join(lines) or "Nothing to prune."


def _bytes(items: list[Item]) -> str:
    return f"{sum(item.size for item in items):,} bytes"
