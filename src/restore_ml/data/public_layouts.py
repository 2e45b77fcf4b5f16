"""How public data sets lay out their folders: which files are the pictures, and what their names say.

A layout turns the relative paths of a folder into `Found` pictures: the path, and the split and group that the layout
itself states. Known are `plain` (every picture of the folder and its subfolders), `selfexsr`
(image_SRF_2/*_SRF_2_HR.png) and `cyclegan` (trainA, trainB, testA, testB). Folders of cloudy and clear pairs (RICE:
*_real_A, *_real_B) are not read as pairs: every file counts as a picture of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

LAYOUTS = ("auto", "plain", "selfexsr", "cyclegan")

_SELFEXSR = re.compile(r"(?:.*/)?image_SRF_(?P<factor>\d+)/(?P<group>[^/]*?)_SRF_(?P=factor)_(?P<kind>[^/]+)\.png",
                       re.DOTALL)
_CYCLEGAN = re.compile(r"(?P<split>train|val|test)(?P<side>[AB])")
_SPLITS = {"train": "train", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Found:
    """A picture's path in its folder; `split` and `group` are empty where the layout says nothing."""

    path: str
    split: str = ""
    group: str = ""


def recognise(paths: Sequence[str]) -> str:
    """The layout that the relative paths show; `plain` when they show none."""
    if any(_SELFEXSR.fullmatch(path) for path in paths):
        return "selfexsr"
    tops = {PurePosixPath(path).parts[0] for path in paths if "/" in path}
    if {"A", "B"} <= {match["side"] for top in tops if (match := _CYCLEGAN.fullmatch(top))}:
        return "cyclegan"
    return "plain"


def select(layout: str, paths: Sequence[str], role: str) -> tuple[list[Found], str]:
    """The pictures among `paths` and a sentence on what was left out (empty when nothing was).

    `selfexsr`: the high-resolution pictures of the lowest factor, which are cropped least. `cyclegan`: the pictures of
    trainA and trainB for the role `train`, of testA and testB for `test`, all for `mixed`.
    """
    if layout == "selfexsr":
        return _selfexsr(paths)
    if layout == "cyclegan":
        return _cyclegan(paths, role)
    return [Found(path) for path in paths], ""


def _selfexsr(paths: Sequence[str]) -> tuple[list[Found], str]:
    matches = [(path, match) for path in paths if (match := _SELFEXSR.fullmatch(path)) and match["kind"] == "HR"]
    factors = sorted({int(match["factor"]) for _, match in matches})
    found = [Found(path, group=match["group"]) for path, match in matches if int(match["factor"]) == factors[0]]
    if not found:
        return [], "There are no image_SRF_<factor>/*_HR.png pictures in it."
    return found, (f"Read as a SelfExSR folder: the {len(found)} HR pictures of factor {factors[0]} are taken, "
                   f"{len(paths) - len(found)} other files (LR pictures, results, other factors) are not.")


def _cyclegan(paths: Sequence[str], role: str) -> tuple[list[Found], str]:
    wanted = {"train": ("train", "validation"), "test": ("test",)}.get(role, ("train", "validation", "test"))
    found = []
    for path in paths:
        top = _CYCLEGAN.fullmatch(PurePosixPath(path).parts[0])
        split = _SPLITS[top["split"]] if top else ""
        if top and split in wanted:
            # `train` is left open, so that a share of it becomes validation where the set has no val folder
            found.append(Found(path, "" if split == "train" else split))
    return found, (f"Read as a CycleGAN folder: the {len(found)} files of its {', '.join(wanted)} folders are taken, "
                   f"{len(paths) - len(found)} other files are not.")
