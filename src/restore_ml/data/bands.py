"""Names of a scene's bands: what part of the spectrum each one sees, and how a band is found by that.

Bands are called by their colour (`blue` ... `swir2`) or by Sentinel-2's number (`B2` ... `B12`, without the 0 of its
files' `B02`).
A scene of four bands that names none has the four that tasks take (`restore_ml.data.domains.scenes`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from restore_ml.arrays import Arrays, words

WAVELENGTHS = {"blue": 0.49, "green": 0.56, "red": 0.665, "nir": 0.842, "cirrus": 1.375, "swir1": 1.61, "swir2": 2.19,
               "thermal": 11.0}
"""Micrometres in the middle of a band, by its colour."""
SENTINEL_2 = {"B2": "blue", "B3": "green", "B4": "red", "B8": "nir", "B10": "cirrus", "B11": "swir1", "B12": "swir2"}
BETWEEN = {"B1": 0.443, "B5": 0.704, "B6": 0.74, "B7": 0.783, "B8A": 0.865, "B9": 0.945}
"""Micrometres of Sentinel-2's bands that have no colour of their own here."""
FOUR = ("blue", "green", "red", "nir")
"""What a scene of four bands has that names none."""
LAND = (*FOUR, "swir1", "swir2")
"""The six bands by which land, water, snow and clouds are told apart."""


def names_of(arrays: Arrays, count: int) -> tuple[str, ...]:
    """The names of the `count` first bands: those in `bands`, else `FOUR` for four; `1`, `2` ... for others, of which
    nothing is known."""
    told = tuple(words(arrays["bands"]).split()) if "bands" in arrays else ()
    if len(told) >= count:
        return told[:count]
    return FOUR if count == len(FOUR) else tuple(map(str, range(1, count + 1)))


def colour(name: str) -> str:
    """`blue` of `blue` and of `B2`; a name that is none of these stays as it is."""
    return SENTINEL_2.get(name.upper(), name.lower())


def wavelength(name: str) -> float | None:
    """Micrometres of the band of that name, None where it is not known."""
    return WAVELENGTHS.get(colour(name), BETWEEN.get(name.upper()))


def places(names: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """Where the bands of the colours `wanted` stand among `names`; None where one of them is missing.

    >>> places(("B2", "B4", "B8"), ("red", "blue")), places(("red", "nir"), ("blue",))
    ([1, 0], None)
    """
    colours = [colour(name) for name in names]
    return [colours.index(name) for name in wanted] if set(wanted) <= set(colours) else None


def whole(arrays: Arrays, date: str) -> np.ndarray:
    """All bands of a date (`target` or `reference`), the further ones behind: H x W x B."""
    further = arrays.get(f"{date}_further")
    return arrays[date] if further is None else np.concatenate([arrays[date], further], axis=2)
