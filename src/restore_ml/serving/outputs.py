"""Where a person wants a result written: asked before the work, so that no work is lost to a name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from restore_ml.base.errors import UserError

MOST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}
"""The longest side in pixels that a format holds, where photographs can have more."""


def check_file(target: Path, originals: Iterable[Path] = ()) -> None:
    """`UserError` where the file `target` could not be written, or would take the place of one of `originals`."""
    if os.path.isdir(target):
        raise UserError(f"{target} is a folder; name a file in it.")
    if os.path.exists(target) and not os.path.isfile(target):
        raise UserError(f"{target} is no plain file; name another one.")
    for original in originals:
        if os.path.exists(target) and os.path.exists(original) and os.path.samefile(target, original):
            raise UserError(f"{target} is {original} itself, which would be lost; name another file with -o.")
    _check_place(target)


def check_folder(folder: Path) -> None:
    """`UserError` where the folder `folder` is a file, or could not be made or written in."""
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise UserError(f"{folder} is a file; name a folder.")
    _check_place(folder / "x")


def check_size(target: Path, form: str, width: int, height: int) -> None:
    """`UserError` where a picture of `width` x `height` pixels is too large for the format `form`."""
    most = MOST_SIDE.get(form)
    if most is not None and max(width, height) > most:
        raise UserError(f"{target} would be {width} x {height} pixels; {form} holds at most {most} a side. Name a file "
                        "that ends in .png or .tif.")


def _check_place(target: Path) -> None:
    """The nearest folder above `target` that is there must take new entries of these names."""
    new, folder = [target.name], target.parent
    while not os.path.lexists(folder) and folder != folder.parent:
        new.append(folder.name)
        folder = folder.parent
    if not os.path.isdir(folder):
        raise UserError(f"{target} cannot be written: {folder} is no folder. Name another place.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{target} cannot be written: there is no permission to write in {folder}. Name another place, "
                        "or let this user write there.")
    longest = os.pathconf(folder, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    if any(len(os.fsencode(name)) > longest for name in new):
        raise UserError(f"{target} cannot be written: names on that disk have at most {longest} bytes. Give a shorter "
                        "name.")
