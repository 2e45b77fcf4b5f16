"""A patient's contrasts as NIfTI files in, another contrast out, slice by slice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.data.domains.brains import PERCENTILE, contrast, eight_bit
from restore_ml.data.file_kinds import VOLUME, Read
from restore_ml.data.pictures import Refused
from restore_ml.tasks.contrast_synthesis.task import CONTRASTS, COUNT, SMALLEST
from restore_ml.tasks.photos import Asked, Exchange, Given, Got, Option, Restorer, Way

if TYPE_CHECKING:
    from restore_ml.method import Method

MISSING = "missing"
WANTED = "wanted"


class ContrastSynthesisPhotos(Exchange):
    """Which contrast a file is, its name says as in the domain `brains` (`P1_T1w.nii.gz`), or `--with t1=FILE`.

    A contrast that is asked for though it is given is made from the others, without a look at it. Intensities of
    magnetic resonance have no unit: those of the result reach as far as those of the file that was named first, whose
    grid, orientation and affine it takes.
    """

    ways = (Way(tuple(Given(name, VOLUME, required=False, fits=CONTRASTS[0]) for name in CONTRASTS),
                (Got("volume", VOLUME),)),)
    options = (Option(WANTED, "the contrast that is made; missing: the one that is not given", (MISSING, *CONTRASTS)),)
    says_what_it_is = True

    def name_of(self, file: str) -> str:
        """The contrast that the name says; labels are none."""
        name = contrast(file)
        return name if name in CONTRASTS else ""

    def answer(self, given: Mapping[str, Read], asked: Asked, restorer: Restorer) -> dict[str, Read]:
        """The wanted contrast, float32, on the grid of the first file; slices that show nothing stay empty."""
        wanted = _wanted(restorer.method, given, asked.options[WANTED])
        seen = {name: read for name, read in given.items() if name != wanted}
        usable = set(known(restorer.method)) & {*seen}
        if not usable:
            raise UserError(f"There is nothing to make {wanted} from; give one or more of "
                            f"{', '.join(name for name in known(restorer.method) if name != wanted)} beside it.")
        first = next(iter(given.values()))
        shape = first.value.shape
        if min(shape[1:]) < SMALLEST:
            raise UserError(f"Slices of {shape[2]} x {shape[1]} voxels are too small; the shorter side must be at "
                            f"least {SMALLEST}.")
        levels = {name: _levels(name, read) for name, read in given.items()}  # none may be broken
        numbers = np.zeros((*shape, COUNT), np.uint8)
        for name in seen:
            numbers[..., CONTRASTS.index(name)] = levels[name]
        shown = np.array([float(name in seen) for name in CONTRASTS], np.float32)
        asked_for = np.array([float(name == wanted) for name in CONTRASTS], np.float32)
        made = np.zeros(shape, np.float32)
        for place in np.flatnonzero(numbers.any(axis=(1, 2, 3))):
            output = restorer({"contrasts": numbers[place], "given": shown, "wanted": asked_for})
            made[place] = output["contrasts"][..., CONTRASTS.index(wanted)]
        return {"volume": Read(made * np.float32(_top(first.value) / 255), first.origin)}

    def remark(self, method: Method, given: Mapping[str, Read]) -> str:
        """What the intensities are."""
        return f"Its intensities have no unit; they reach as far as those of {next(iter(given))}."


def known(method: Method) -> list[str]:
    """The contrasts that a method can make."""
    return [name for name in CONTRASTS if method.unsupported(f"missing_{name}") is None]


def _wanted(method: Method, given: Mapping[str, Read], asked: str) -> str:
    possible = known(method)
    if asked != MISSING:
        if asked not in possible:
            raise UserError(f"This model cannot make {asked}; it makes {', '.join(possible)}.")
        return asked
    missing = [name for name in possible if name not in given]
    if len(missing) != 1:
        said = f"{' and '.join(missing)} are missing" if missing else "None of the contrasts that it makes is missing"
        raise UserError(f"{said}; choose the one to make with --set {WANTED}={(missing or possible)[0]}.")
    return missing[0]


def _levels(name: str, read: Read) -> np.ndarray:
    try:
        return eight_bit(read.value)
    except Refused as refused:
        raise UserError(f"The {name} cannot be used: {refused.reason}.") from None


def _top(values: np.ndarray) -> float:
    """The intensity that becomes 255 (see `eight_bit`)."""
    return float(np.percentile(values[values != 0], PERCENTILE))


PHOTOS = ContrastSynthesisPhotos()
