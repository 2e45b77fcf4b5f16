"""Whether dvc.lock already holds what a training would make."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any


def holds(root: Path, run: str) -> bool:
    """Whether dvc.lock has a model of `run` that was made from exactly what is here now.

    Folders are compared by what the stages that made them have in dvc.lock, so nothing large is read.
    """
    try:
        text = (root / "dvc.lock").read_text(encoding="utf-8")
    except OSError:
        return False
    stage = _stage(text, f"train@{run}") or _stage(text, f"train_support@{run}")
    if not stage.get("outs"):
        return False
    return all(_now(root, text, entry["path"]) == entry.get("md5") for entry in stage.get("deps", []))


def _now(root: Path, text: str, path: str) -> str | None:
    """The hash of a dependency: of a file its own, of a folder the one that its stage has in dvc.lock."""
    place = root / path
    if place.is_file():
        with open(place, "rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    parts = path.split("/")
    makers = [f"degrade@{parts[1]}"] if parts[0] == "samples" else [f"train@{parts[-1]}", f"train_support@{parts[-1]}"]
    for maker in makers:
        for entry in _stage(text, maker).get("outs", []):
            if entry["path"] == path:
                return entry.get("md5")
    return None


def _stage(text: str, name: str) -> dict[str, Any]:
    """One stage of dvc.lock. Only its own lines are parsed: the whole file can be long."""
    from ruamel.yaml import YAML

    found = re.search(rf"^  {re.escape(name)}:\n((?:    .*\n|  - .*\n)*)", text, re.MULTILINE)
    return YAML(typ="safe").load(found[0])[name] if found else {}
