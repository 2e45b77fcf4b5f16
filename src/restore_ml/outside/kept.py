"""What is kept of the outputs of another tool: brought/outputs/<task>/<run>/<set>/<case>/, and how it becomes the
outputs of samples, at `add` and again when the run is restored."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from restore_ml import registry
from restore_ml.arrays import Arrays
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, write_json
from restore_ml.data.file_kinds import ending
from restore_ml.data.pictures import Refused
from restore_ml.data.shards import Record
from restore_ml.outside import reading
from restore_ml.outside.inputs import FORMAT, is_below
from restore_ml.runs.brought import KEPT

AGAIN = "export them again (`restore-ml inputs export`), let the tool restore them, and add the new outputs"


def output_of(task: str, record: Record, paths: Mapping[str, Path]) -> tuple[Arrays, list[str]]:
    """The task's output of a sample from the files that are wanted of it, as every method's is composed; and what was
    noted. `Refused` for a file that is not what is wanted."""
    from restore_ml.evaluation.scoring import check

    files = registry.sample_files(task)
    given = {name: made.value for name, made in files.given(record.arrays).items()}
    read = {name: reading.read(paths[name], wanted, record.arrays, given)
            for name, wanted in files.wanted(record.arrays).items()}
    made = files.output(record.arrays, {name: output.value for name, output in read.items()})
    output = {name: np.ascontiguousarray(value) if np.ndim(value) else np.asarray(value)
              for name, value in registry.task(task).compose(record.arrays, made).items()}
    try:
        check(task, output, record.arrays, {})
    except ValueError as error:
        raise Refused(str(error)) from None
    return output, [note for one in read.values() for note in one.notes]


class Kept:
    """What outputs.json of a case says."""

    def __init__(self, folder: Path) -> None:
        """`UserError` for a file that cannot be read, or of another version."""
        self.folder = folder
        self.facts: dict[str, Any] = read_json(folder / KEPT)
        if not isinstance(self.facts, dict) or self.facts.get("format") != FORMAT:
            raise UserError(f"{folder / KEPT} was written by another version of restore-ml; add the outputs again.")
        if not all(isinstance(self.facts.get(key), dict) for key in ("inputs", "samples", "left_out")) or not all(
                isinstance(files, dict) and all(map(is_below, files.values()))
                for files in self.facts["samples"].values()):
            raise UserError(f"{folder / KEPT} was changed by hand: it does not say which file beside it is which "
                            "sample's; add the outputs again.")

    @property
    def inputs(self) -> dict[str, str]:
        """By the id of each sample, the hash of its inputs when they were exported."""
        return dict(self.facts["inputs"])

    def paths(self, identity: str) -> dict[str, Path] | None:
        """The files of a sample; None where none were taken."""
        files = self.facts["samples"].get(identity)
        return None if files is None else {name: self.folder / path for name, path in files.items()}

    def reason(self, identity: str) -> str:
        """Why there are none."""
        return str(self.facts["left_out"].get(identity, "no output was brought in for it"))


def _name(name: str, source: Path) -> str:
    """The name under which an output is kept: that of its sample, but for one that is called like `KEPT`."""
    own = name if source.is_dir() else name + ending(source.name)
    return own if own.casefold() != KEPT else f"{name}_{ending(source.name)}"


def keep(root: Path, task: str, run: str, case: str, found: Mapping[str, tuple[str, Mapping[str, Path]]],
         facts: dict[str, Any]) -> Path:
    """Copy the files of a case to where they are kept, in place of those that were; returns the folder.

    `found`: by the id of each sample its name and its files; `facts`: what else outputs.json says.
    """
    target = root / layout.outputs(task, run) / case
    new, old = (root / layout.STATE / f"{word}-{os.getpid()}" for word in ("brought", "replaced"))
    for folder in (new, old):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        _copy(new, found, facts)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            shutil.move(target, old)
        shutil.move(new, target)
    finally:
        if old.exists() and not target.exists():  # interrupted between the two
            shutil.move(old, target)
        for folder in (new, old):
            shutil.rmtree(folder, ignore_errors=True)
    return target


def _copy(new: Path, found: Mapping[str, tuple[str, Mapping[str, Path]]], facts: dict[str, Any]) -> None:
    """Fill the folder of a case."""
    samples: dict[str, dict[str, str]] = {}
    for identity, (name, files) in found.items():
        samples[identity] = {}
        for part, source in files.items():
            own = Path(*([part] if len(files) > 1 else [])) / _name(name, source)
            (new / own).parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, new / own, ignore=shutil.ignore_patterns(".*"))
            else:
                shutil.copyfile(source, new / own)
            samples[identity][part] = own.as_posix()
    write_json(new / KEPT, {"format": FORMAT, "samples": samples, **facts})
