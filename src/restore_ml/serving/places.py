"""Which of a task's files a path on the command line is, and where its results go."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from restore_ml.base.errors import UserError
from restore_ml.data.file_kinds import FileKind, Picture, Read, ending
from restore_ml.data.frame_folders import is_frame
from restore_ml.serving import outputs
from restore_ml.serving.photos import of_task
from restore_ml.tasks.photos import Exchange, Way


def main_name(photos: Exchange, source: Path, others: Mapping[str, object]) -> str:
    """What the file that a person named first is, by its ending: the main file of the first way that takes such files
    and all else that is given. `others`: that, by name."""
    folder = os.path.isdir(source)
    for way in photos.ways:
        entries = [way.main] if way.main.required else list(way.gives)
        for entry in entries:
            fits = entry.kind.folders if folder else entry.kind.promises(source.name)
            if fits and entry.name not in others and way.takes({entry.name, *others} | {
                    other.name for other in way.gives if other.required}):
                return str(entry.name if entry.required else _said(photos, source, others) or entry.name)
    return photos.ways[0].main.name


def _said(photos: Exchange, source: Path, others: Mapping[str, object]) -> str:
    """What a file says by its name that it is, where it may be several things. `UserError` where it must and does not,
    and where it is what is given beside it."""
    name, free = photos.name_of(source.name), [name for name in photos.names() if name not in others]
    if name in others:
        raise UserError(f"{source} is {name} by its name, which is given with --with {name}={others[name]} too; give "
                        "one of them.")
    if photos.says_what_it_is and not name:
        raise UserError(f"The name of {source} does not say what it is; end it with one of {', '.join(free)}, such as "
                        f"{free[0]}{ending(source.name)}.")
    return name


def is_one(task: str, folder: Path) -> bool:
    """Whether a folder is one thing to restore (the frames of a clip, files named as what they are for)."""
    photos = of_task(task)
    if members(photos, folder) is not None:
        return True
    clips = any(way.main.kind.folders for way in photos.ways)
    return clips and sum(is_frame(path.name) and path.is_file() for path in folder.iterdir()) > 1


def members(photos: Exchange, source: Path) -> dict[str, Path] | None:
    """The files of a folder that together are what a task needs, each named as what it is given for; None where they
    are not, or where a task takes one file alone."""
    if not os.path.isdir(source):
        return None
    found = photos.together([path.name for path in sorted(source.iterdir()) if path.is_file()])
    return {name: source / file for name, file in found.items()} or None


def of_results(way: Way, target: Path) -> dict[str, Path]:
    """Where each result goes: the main one to `target`, the others beside it."""
    first, *others = way.gets
    stem = target.name[:len(target.name) - len(ending(target.name))]
    return {first.name: target} | {entry.name: target.with_name(f"{stem}.{entry.name}{next(iter(entry.kind.writes))}")
                                   for entry in others}


def check(kind: FileKind, target: Path, originals: Iterable[Path] = ()) -> None:
    """`UserError` where a result of that kind cannot be written to `target`."""
    suffix = ending(target.name)
    if suffix not in kind.writes:
        named = ", ".join(name for name in kind.writes if name)
        raise UserError(f"{target} ends in {suffix!r}; name a file that ends in {named}"
                        f"{', or a folder' if '' in kind.writes else ''}.")
    if suffix:
        outputs.check_file(target, originals)
        return
    outputs.check_folder(target)
    if os.path.isdir(target) and any(target.iterdir()):
        raise UserError(f"The folder {target} is not empty; name a new one for the frames.")


def check_sides(way: Way, targets: Mapping[str, Path], main: Read, factor: int) -> None:
    """`UserError` for formats that hold no picture as large as what becomes of the first."""
    for entry in way.gets:
        if isinstance(entry.kind, Picture) and isinstance(way.main.kind, Picture):
            target = targets[entry.name]
            height, width = (side * factor for side in main.value.shape[:2])
            outputs.check_size(target, entry.kind.writes[ending(target.name)], width, height)
