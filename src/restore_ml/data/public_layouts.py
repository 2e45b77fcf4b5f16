"""How public data sets lay out their folders: which files are the pictures, and what their names say.

A layout turns the relative paths of a folder into `Found` records: the path, and the split and group that the layout
itself states. Each domain names those that it knows. `selfexsr` (image_SRF_2/*_SRF_2_HR.png), `cyclegan` (trainA,
trainB, testA, testB), `folders` (a folder of pictures for each person, clip or patient; never guessed). Where only a
set's lists say what belongs together, an `Arranging` layout copies it into the domain's own form first. Folders of
cloudy and clear pairs (RICE: *_real_A, *_real_B) are pairs in the domain `scenes` alone: among photographs every file
counts as a picture of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

_SELFEXSR = re.compile(r"(?:.*/)?image_SRF_(?P<factor>\d+)/(?P<group>[^/]*?)_SRF_(?P=factor)_(?P<kind>[^/]+)\.png",
                       re.DOTALL)
_CYCLEGAN = re.compile(r"(?P<split>train|val|test)(?P<side>[AB])")
_SPLITS = {"train": "train", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Found:
    """A record's path in its folder (a file or a folder); `split` and `group` are empty where the layout says nothing.
    """

    path: str
    split: str = ""
    group: str = ""


@dataclass(frozen=True)
class Layout:
    """`recognises(paths)`: whether the relative paths of a folder show this layout; `select(paths, role)`: the records
    for a role (train, test or mixed), and a sentence on what was left out ("": nothing)."""

    name: str
    recognises: Callable[[Sequence[str]], bool]
    select: Callable[[Sequence[str], str], tuple[list[Found], str]]


@dataclass
class Arranged:
    """What an `Arranging` layout has copied: the records, the name in the set of each copied file that has another one,
    the files of the set that cannot be used (each with the reason), and a sentence on what was left out."""

    found: list[Found] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)
    note: str = ""


@dataclass(frozen=True)
class Arranging:
    """A layout whose lists, not its paths, say what belongs together: `arrange(source, files, role, target)` copies
    what is taken from the folder `source` into the new folder `target`, as the domain itself keeps it."""

    name: str
    recognises: Callable[[Sequence[str]], bool]
    arrange: Callable[[Path, Sequence[str], str, Path], Arranged]


def _selfexsr(paths: Sequence[str], role: str) -> tuple[list[Found], str]:
    """The high-resolution pictures of the lowest factor, which are cropped least."""
    matches = [(path, match) for path in paths if (match := _SELFEXSR.fullmatch(path)) and match["kind"] == "HR"]
    factors = sorted({int(match["factor"]) for _, match in matches})
    chosen = [Found(path, group=match["group"]) for path, match in matches if int(match["factor"]) == factors[0]]
    if not chosen:
        return [], "There are no image_SRF_<factor>/*_HR.png pictures in it."
    return chosen, (f"Read as a SelfExSR folder: the {len(chosen)} HR pictures of factor {factors[0]} are taken, "
                   f"{len(paths) - len(chosen)} other files (LR pictures, results, other factors) are not.")


def _cyclegan(paths: Sequence[str], role: str) -> tuple[list[Found], str]:
    """The pictures of trainA and trainB for the role `train`, of testA and testB for `test`, all for `mixed`."""
    splits = {"train": ("train", "validation"), "test": ("test",)}.get(role, ("train", "validation", "test"))
    chosen = []
    for path in paths:
        top = _CYCLEGAN.fullmatch(PurePosixPath(path).parts[0])
        split = _SPLITS[top["split"]] if top else ""
        if top and split in splits:
            # `train` is left open, so that a share of it becomes validation where the set has no val folder
            chosen.append(Found(path, "" if split == "train" else split))
    return chosen, (f"Read as a CycleGAN folder: the {len(chosen)} files of its {', '.join(splits)} folders are taken, "
                   f"{len(paths) - len(chosen)} other files are not.")


def _shows_cyclegan(paths: Sequence[str]) -> bool:
    tops = {PurePosixPath(path).parts[0] for path in paths if "/" in path}
    return {"A", "B"} <= {match["side"] for top in tops if (match := _CYCLEGAN.fullmatch(top))}


def _folders(paths: Sequence[str], role: str) -> tuple[list[Found], str]:
    """Every picture; those in one folder of the first level are of one group, which is never split."""
    parts = [(path, PurePosixPath(path).parts) for path in paths]
    groups = {names[0] for _, names in parts if len(names) > 1}
    return ([Found(path, group=names[0] if len(names) > 1 else "") for path, names in parts],
            f"Read as a folder for each of {len(groups)} groups, none of which is split.")


SELFEXSR = Layout("selfexsr", lambda paths: any(_SELFEXSR.fullmatch(path) for path in paths), _selfexsr)
CYCLEGAN = Layout("cyclegan", _shows_cyclegan, _cyclegan)
FOLDERS = Layout("folders", lambda paths: False, _folders)
