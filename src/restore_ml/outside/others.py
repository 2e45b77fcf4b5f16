"""Whether a folder of outputs is that of another case: by the names of its files, or because they are there already."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from restore_ml.base import layout
from restore_ml.base.files import sha256_of_file
from restore_ml.data.file_kinds import ending
from restore_ml.outside import reading
from restore_ml.outside.inputs import Inputs
from restore_ml.outside.names import listed, match
from restore_ml.runs.brought import KEPT
from restore_ml.tasks.sample_files import Wanted


def files(folder: Path, wanted: Wanted) -> dict[str, str]:
    """The names of what may be an output, without their endings, by the whole name."""
    paths: Iterable[Path] = sorted(folder.iterdir()) if folder.is_dir() else ()
    return {path.name: path.name if path.is_dir() else path.name[:len(path.name) - len(ending(path.name))]
            for path in paths if not path.name.startswith(".") and reading.promises(wanted, path)}


def named_like(root: Path, inputs: Inputs, folder: Path, wanted: Wanted) -> str:
    """What the files of a folder are, none of which has the name of a sample: a sentence."""
    there = files(folder, wanted)
    if not there:
        inner = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and files(path, wanted)]
        within = f" There are some in {listed(inner)} below it: give that folder." if inner else ""
        return f"There is no file in it that could be {wanted}.{within}"
    for path in sorted((root / layout.inputs(inputs.task)).glob("*/*.arrow")):
        test_set = path.parent.name
        if test_set == inputs.case.test_set:
            continue
        other = Inputs(root, inputs.task, test_set, path.stem)
        if 2 * len(match([*other.names.values()], there).files) > len(other.names):
            return f"The files have the names of the test set {test_set}: give --set {test_set}?"
    return (f"No file is named like a sample: they are called {listed([*inputs.names.values()][:2])}, the files "
            f"{listed([*there][:2])}.")


def named_otherwise(root: Path, inputs: Inputs, added: str) -> list[str]:
    """A sentence where what the files' names have in common (`added`) is the name of another case."""
    own = inputs.case
    words = {*re.split(r"[^A-Za-z0-9]+", added)}
    others = sorted({path.stem for path in (root / layout.inputs(inputs.task) / own.test_set).glob("*.arrow")})
    named = [name for name in others if name in words and name != own.degradation]
    if not named or own.degradation in words:
        return []
    return [f"The names of the files say {named[0]}, and they are taken in for {own.degradation}; see that this is the "
            "right folder."]


def same_files(root: Path, task: str, case: str, found: Mapping[str, tuple[str, Mapping[str, Path]]]) -> list[str]:
    """A sentence where most of the files were taken in for another case already: cases differ in what a tool is given,
    so that it cannot have made the same of both."""
    single = [path for _, parts in found.values() for path in parts.values() if path.is_file()]
    hashes = {sha256_of_file(path) for path in single}
    for place in sorted((root / layout.BROUGHT / "outputs" / task).glob(f"*/*/*/{KEPT}")):
        other = place.parent.relative_to(place.parents[2]).as_posix()
        kept = {sha256_of_file(path) for path in place.parent.rglob("*") if path.is_file() and path.name != KEPT}
        if other != case and hashes and 2 * len(hashes & kept) > len(hashes):
            return [f"{len(hashes & kept)} of {len(hashes)} files are those that were taken in for {other} (run "
                    f"{place.parents[2].name}): this is the folder of that case. If they were wrong there, delete "
                    f"{place.parent.relative_to(root)} first."]
    return []
