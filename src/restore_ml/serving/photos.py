"""A person's own files in, restored ones out; what differs between tasks is said by `restore_ml.tasks.photos`, what
differs between files by `restore_ml.data.file_kinds`.

The pictures of a comparison come from samples with a known truth; here there is none. Any size is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from restore_ml import registry
from restore_ml.base.errors import UserError, shown
from restore_ml.data.file_kinds import Read
from restore_ml.method import Method, Model
from restore_ml.registry import nearest
from restore_ml.restoring.harness import restore
from restore_ml.tasks.photos import Asked, Exchange, Photos, Restorer, Way

FACTORS = range(1, 17)
"""By how much a picture may be enlarged."""


def of_task(task: str) -> Exchange:
    """What a person gives of that task and gets; `UserError` where it takes no files."""
    photos = registry.photos(task)
    if photos is None:
        taken = registry.task(task)
        what = (f"{' and '.join(taken.roles)} together, not one photograph" if taken.domain == "photos" else
                f"{taken.domain}, not photographs")
        raise UserError(f"{task} takes {what}; restore them with the pipeline.")
    return photos


def way_of(task: str, names: Iterable[str]) -> Way:
    """The way of using the task that files of these names are for; `UserError` in words of the command line."""
    photos, there = of_task(task), {*names}
    known = photos.names()
    for name in sorted(there - known.keys()):
        raise UserError(f"{task} takes no mask; leave it out, or restore with --task inpainting." if name == "mask" else
                        f"{task} takes no {shown(name)}; it takes {_ways(photos)}.{nearest(name, known)}")
    found = next((way for way in photos.ways if way.takes(there)), None)
    if found is not None:
        return found
    if isinstance(photos, Photos) and "mask" not in there:
        raise UserError(f"{task.replace('_', ' ').capitalize()} needs a mask: give --mask with a picture of the same "
                        "size, white where to fill.")
    raise UserError(f"{task} takes {_ways(photos)}, not {' and '.join(sorted(there)) or 'nothing'}; give what is "
                    "missing with --with NAME=FILE.")


def _ways(photos: Exchange) -> str:
    return ", or ".join(map(str, photos.ways))


def checked(task: str, scale: int | None, given: Mapping[str, str]) -> dict[str, str]:
    """The task's options (see `options`); `UserError` for a scale that makes no sense or that it does not take."""
    photos = of_task(task)
    if scale is not None and scale not in FACTORS:
        raise UserError(f"The scale is {scale}; give a whole number such as 2, 3 or 4.")
    if scale is not None and not photos.enlarges:
        raise UserError(f"{task} takes no scale; leave it out, or restore with --task super_resolution.")
    return options(photos, given)


def options(photos: Exchange, given: Mapping[str, str]) -> dict[str, str]:
    """All options of a task: those that are given, and the others' first values; `UserError` for what it does not
    know."""
    known = {option.name: option for option in photos.options}
    for name, value in given.items():
        if name not in known:
            raise UserError(f"There is no option {shown(name)}; there are {', '.join(known) or 'none'}."
                            f"{nearest(name, known)}")
        if value not in known[name].values:
            raise UserError(f"{name} is {shown(value)}; it must be one of {', '.join(known[name].values)}."
                            f"{nearest(str(value), known[name].values)}")
    return {name: given.get(name, option.values[0]) for name, option in known.items()}


def answer(method: Method, model: Model, given: Mapping[str, Read], asked: Asked) -> dict[str, Read]:
    """What a model makes of a person's files, by name; `UserError` for what the task cannot take or what does not
    belong together."""
    chosen = checked(method.task, asked.scale, asked.options)
    for entry in way_of(method.task, given).gives:
        if entry.name in given and entry.fits:
            other = given.get(entry.fits, next(iter(given.values())))  # what it shall fit may be one of several
            reason = entry.kind.misfit(given[entry.name], other)
            if reason:
                raise UserError(f"The {entry.name} cannot be used: {reason}.")
    return of_task(method.task).answer(given, Asked(asked.scale, asked.seed, chosen),
                                       Restorer(method, model, asked.seed, restore))


def restore_photo(method: Method, model: Model, picture: np.ndarray, mask: np.ndarray | None = None,
                  scale: int | None = None, seed: int = 1) -> np.ndarray:
    """Restore a photograph, H x W x C uint8 (C 1 or 3), of any size; returns H x W x 3 uint8.

    `mask`: H x W, nonzero = missing, where the task takes one. `scale`: the factor where it enlarges. Raises
    `UserError` for a picture that the task cannot take (no mask, a mask of another size or one that marks nothing or
    everything, satellite scenes).
    """
    given = {"image": Read(picture)} | ({} if mask is None else {"mask": Read(mask)})
    return np.asarray(answer(method, model, given, Asked(scale, seed))["image"].value)
