"""The inputs of a test case as other tools know them: names of files, and hashes by which a change is seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import canonical_json, read_json, sha256
from restore_ml.data.pictures import pixel_hash
from restore_ml.data.shards import Record, Shard
from restore_ml.outside.names import plain_names
from restore_ml.registry import nearest
from restore_ml.tasks.base import Case

MANIFEST = "manifest.json"
FORMAT = 1
"""Of manifest.json and of what is kept with outputs; raise it when an older one can no longer be read."""
WHAT = "restore-ml inputs"


class Inputs:
    """The samples of one case of a task, in the order of their ids."""

    def __init__(self, root: Path, task: str, test_set: str, degradation: str) -> None:
        """`UserError` where there is no such case."""
        self.task, self.case = task, Case(test_set, degradation)
        self.shard = Shard(_path(root, task, test_set, degradation))
        self.files = registry.sample_files(task)
        ids = [self.shard.id(number) for number in range(len(self.shard))]
        if self.files.hides_names:
            self.names = {identity: f"{number:04d}" for number, identity in enumerate(ids, 1)}
        else:
            self.names = plain_names({record.id: str(record.facts.get("name") or record.id[:16])
                                      for record in self.shard})
        if not ids:
            raise UserError(f"The case {self.case} of {task} has no samples.")

    def __iter__(self) -> Iterator[tuple[str, Record]]:
        """Name and record of each sample."""
        for record in self.shard:
            yield self.names[record.id], record
            self.shard.release()

    def hashes(self) -> dict[str, str]:
        """By the id of each sample, the hash of its inputs."""
        return {record.id: input_hash(record) for _, record in self}


def input_hash(record: Record) -> str:
    """The hash of all that a tool is given of a sample; its facts are not."""
    names = sorted(record.arrays)
    return sha256(f"{names} {pixel_hash(*(np.asarray(record.arrays[name]) for name in names))}".encode())


def case_hash(hashes: dict[str, str]) -> str:
    """One hash of the inputs of all samples of a case, by their ids."""
    return sha256(canonical_json(hashes).encode())


def changed(then: dict[str, str], now: dict[str, str]) -> str:
    """What became of a case's inputs since, in words: `2 of 34 have changed, 1 is new`; empty where they are the same.
    """
    parts = [(sum(then[one] != now[one] for one in then if one in now), "changed"),
             (len(now.keys() - then.keys()), "new"), (len(then.keys() - now.keys()), "gone")]
    return ", ".join(f"{count} {word}" for count, word in parts if count)


def is_below(path: Any) -> bool:
    """Whether a path that a file tells of stays in its own folder: others may have written it."""
    return isinstance(path, str) and path not in ("", ".") and not PurePosixPath(path).is_absolute() and (
        ".." not in PurePosixPath(path).parts)


def _path(root: Path, task: str, test_set: str, degradation: str) -> Path:
    folder = root / layout.inputs(task)
    cases = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.glob("*/*.arrow"))
    if not cases:
        raise UserError(f"There are no test samples of {task} in {folder}; `dvc repro {layout.stage('degrade', task)}` "
                        "makes them.")
    sets = sorted({case.split("/")[0] for case in cases})
    if test_set not in sets:
        raise UserError(f"{task} has no test set {test_set!r}; it has {', '.join(sets)}.{nearest(test_set, sets)}")
    own = [case.split("/")[1] for case in cases if case.split("/")[0] == test_set]
    if degradation not in own:
        raise UserError(f"The test set {test_set} of {task} has no case {degradation!r}; it has {', '.join(own)}."
                        f"{nearest(degradation, own)}")
    return folder / test_set / f"{degradation}.arrow"


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of an exported folder; None for a file that is none, `UserError` for one of another version."""
    if not path.is_file():
        return None
    try:
        found = read_json(path)
    except UserError:
        return None
    if not isinstance(found, dict) or found.get("what") != WHAT:
        return None
    if found.get("format") != FORMAT:
        raise UserError(f"{path} was written by another version of restore-ml (format {found.get('format')!r}, here "
                        f"{FORMAT}); export the inputs again.")
    samples = found.get("samples")
    if not all(isinstance(found.get(key), str) for key in ("task", "set", "case")) or not isinstance(
            samples, dict) or not all(_is_entry(entry) for entry in samples.values()):
        raise UserError(f"{path} was changed by hand: it does not say which inputs lie beside it; export them to a new "
                        "folder.")
    return found


def _is_entry(entry: Any) -> bool:
    """Whether a sample's entry has what is read of it, and names no file outside of its folder."""
    return isinstance(entry, dict) and isinstance(entry.get("id"), str) and isinstance(entry.get("sha256"), str) and (
        isinstance(entry.get("files"), dict)) and all(map(is_below, entry["files"]))
