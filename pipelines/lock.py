"""Whether dvc.lock already holds what a training would make, and the files that a killed DVC left cut short.

DVC writes dvc.lock and its rwlock in place, so a kill in that moment leaves a part of them, and with that no command of
DVC works any more.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from restore_ml.base.errors import UserError, conflict
from restore_ml.base.files import write_text

TEMPORARY = Path(".dvc") / "tmp"
STAGE = re.compile(r"^  (\S.*):\n", re.MULTILINE)
"""The line of dvc.lock that begins a stage."""


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


def mend(root: Path) -> list[str]:
    """Mend what a DVC that was killed while it wrote left behind; returns a sentence for each file.

    The whole stages of a cut dvc.lock stay. The others' results are in DVC's run cache, so nothing is computed again.
    While a DVC is at work nothing is touched. A merge conflict is no cut: it is a `UserError`.
    """
    said = []
    with _held(root, "lock") as rests:
        path = root / "dvc.lock"
        text = path.read_text(encoding="utf-8", errors="replace") if rests and path.exists() else None
        if text is not None and (told := conflict(path, text)):
            raise UserError(f"{told} Whichever side it is, what is missing in it is built again.")
        kept = _whole(text or "")
        if text is not None and (kept != text or not STAGE.search(text)):
            write_text(path, kept) if STAGE.search(kept) else path.unlink()
            said.append(f"dvc.lock was cut short by a kill: {len(STAGE.findall(kept))} stages in it are whole, the "
                        "others are taken from DVC's cache.")
    with _held(root, "rwlock.lock") as rests:
        path = root / TEMPORARY / "rwlock"
        if rests and path.exists() and not _is_json(path):
            path.unlink()
            said.append(f"{TEMPORARY / 'rwlock'} was cut short by a kill, and removed.")
    return said


@contextlib.contextmanager
def _held(root: Path, name: str) -> Iterator[bool]:
    """Hold a lock of DVC's own (on a file, as DVC does) while the block runs; False where a DVC holds it."""
    import fcntl

    (root / TEMPORARY).mkdir(parents=True, exist_ok=True)
    with open(root / TEMPORARY / name, "a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _whole(text: str) -> str:
    """The part of dvc.lock with whole stages: all of it, but for a last stage that is cut."""
    text = text[:text.rfind("\n") + 1]
    starts = [found.start() for found in STAGE.finditer(text)]
    while starts:
        last = starts.pop()
        if _complete(text[last:]):
            return text
        text = text[:last]
    return text


def _complete(block: str) -> bool:
    """Whether the text of one stage says all that DVC writes of one."""
    from ruamel.yaml import YAML, YAMLError

    try:
        stage = next(iter(YAML(typ="safe").load(block).values()))
        entries = [entry for kind in ("deps", "outs") for entry in stage.get(kind, [])]
        return "cmd" in stage and bool(entries) and all(
            "size" in entry and ("nfiles" in entry or not entry["md5"].endswith(".dir")) for entry in entries)
    except (YAMLError, AttributeError, KeyError, TypeError):
        return False


def _is_json(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    except ValueError:
        return False
