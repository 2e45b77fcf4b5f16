"""Whether a dvc.lock already holds what a training would make, and the files that a killed DVC left cut short.

DVC writes each dvc.lock and its rwlock in place, so a kill in that moment leaves a part of them, and with that no
command of DVC works any more.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from restore_ml.base import layout
from restore_ml.base.errors import UserError, conflict
from restore_ml.base.files import write_text

TEMPORARY = Path(".dvc") / "tmp"
STAGE = re.compile(r"^  (\S.*):\n", re.MULTILINE)
"""The line of dvc.lock that begins a stage."""


def holds(root: Path, task: str, run: str) -> bool:
    """Whether the task's dvc.lock has a model of `run` that was made from exactly what is here now.

    Folders are compared by what the stages that made them have in their locks, so nothing large is read.
    """
    locks = _Locks(root)
    stage = stage_of(locks.text(task), f"train@{run}")
    if not stage.get("outs"):
        return False
    return all(_now(root, locks, entry["path"]) == entry.get("md5") for entry in stage.get("deps", []))


class _Locks:
    """The tasks' dvc.lock files, each read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.texts: dict[str, str] = {}

    def text(self, task: str) -> str:
        """The lock of a task; empty where there is none."""
        if task not in self.texts:
            path = self.root / layout.lock_file(task)
            self.texts[task] = path.read_text(encoding="utf-8") if path.exists() else ""
        return self.texts[task]


def _now(root: Path, locks: _Locks, path: str) -> str | None:
    """The hash of a dependency: of a file its own, of a folder the one that its stage has in the lock of its task."""
    path_here = root / path
    if path_here.is_file():
        with open(path_here, "rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    parts = Path(path).parts
    maker = "degrade" if parts[0] == layout.SAMPLES.name else f"train@{parts[-1]}"
    for entry in stage_of(locks.text(parts[1]), maker).get("outs", []):
        if entry["path"] == path:
            return str(entry.get("md5"))
    return None


def stage_of(text: str, name: str) -> dict[str, Any]:
    """One stage of a dvc.lock, {} where it has none. Only its own lines are parsed: the whole file can be long."""
    from ruamel.yaml import YAML

    match = re.search(rf"^  {re.escape(name)}:\n((?:    .*\n|  - .*\n)*)", text, re.MULTILINE)
    return YAML(typ="safe").load(match[0])[name] if match else {}


def mend(root: Path) -> list[str]:
    """Mend what a DVC that was killed while it wrote left behind; returns a sentence for each file.

    The whole stages of a cut dvc.lock stay. The others' results are in DVC's run cache, so nothing is computed again.
    While a DVC is at work nothing is touched. A merge conflict is no cut: it is a `UserError`.
    """
    said = []
    with _held(root, "lock") as rests:
        for path in [root / layout.lock_file(), *sorted((root / layout.GRAPH).glob("*/dvc.lock"))] if rests else []:
            text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
            if text is not None and (told := conflict(path, text)):
                raise UserError(f"{told} Whichever side it is, what is missing in it is built again.")
            kept = _whole(text or "")
            if text is not None and (kept != text or not STAGE.search(text)):
                write_text(path, kept) if STAGE.search(kept) else path.unlink()
                said.append(f"{path.relative_to(root)} was cut short by a kill: {len(STAGE.findall(kept))} stages in "
                            "it are whole, the others are taken from DVC's cache.")
    with _held(root, "rwlock.lock") as rests:
        path = root / TEMPORARY / "rwlock"
        if rests and path.exists() and not _is_json(path):
            path.unlink()
            said.append(f"{TEMPORARY / 'rwlock'} was cut short by a kill, and removed.")
    return said


def in_order(root: Path, runs: Mapping[str, Sequence[str]]) -> None:
    """Put the stages of each dvc.lock into the order of their dvc.yaml, and take away those of runs that are gone.

    DVC appends them as they end, which differs with the number of workers. `runs`: each task's, in their order.
    """
    with _held(root, "lock") as rests:
        for task in ("", *runs) if rests else ():
            path = root / layout.lock_file(task)
            if path.exists():
                text = path.read_text(encoding="utf-8")
                ordered = _ordered(text, _names(root / layout.stages_file(task)), [*runs.get(task, ()), task])
                if ordered != text:
                    write_text(path, ordered)


def _names(stages: Path) -> list[str]:
    """The stages of a dvc.yaml, as they stand there."""
    return STAGE.findall(re.split(r"(?m)^stages:\n", stages.read_text(encoding="utf-8"))[-1])


def _ordered(text: str, names: Sequence[str], keys: Sequence[str]) -> str:
    """The stages of a lock in the order of `names`, those of one `foreach` in the order of `keys`."""
    places = {name: index for index, name in enumerate(names)}
    ranks = {key: rank for rank, key in enumerate(["", *keys])}
    blocks = []
    for block in re.split(r"(?m)^(?=  \S)", text):
        name, _, key = block.strip().partition(":\n")[0].partition("@")
        if not block.startswith("  "):
            head = block
        elif name in places and key in ranks:
            blocks.append(((places[name], ranks[key]), block))
    return head + "".join(block for _, block in sorted(blocks))


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
    starts = [match.start() for match in STAGE.finditer(text)]
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
