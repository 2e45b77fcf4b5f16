"""Which array of a file becomes which weight of a network: by name, else by order and shape.

By name: some beginning before all of the network's names finds them in the file, whatever wraps them (`module.`,
`params_ema.`, `state_dict.generator.`). By order: layers of the same shapes follow each other as the network's do,
where numbers in names (`conv2`, `conv10`) go before the file's order. Kernels as TensorFlow and MATLAB keep them
(height x width x in x out) are turned. Where two readings fit, none is taken.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from restore_ml.base.errors import UserError, short
from restore_ml.imported.by_order import by_order
from restore_ml.imported.names import Shape, shown
from restore_ml.imported.shapes import (
    AXES,
    COUNTER,
    Found,
    Mismatch,
    Wanted,
    fits,
    listed,
    one_place,
    one_reading,
    paired,
    with_shape,
)


def mapped(wanted: Wanted, stored: Mapping[str, np.ndarray], *, torch_order: bool, ordered: bool = True,
           network: str = "", part: str = "", guess: bool = True) -> Found:
    """Find the network's weights among the arrays of a file.

    `torch_order`: the file's kernels are as torch has them where both readings fit; `ordered`: the file's order is its
    author's; `network`: its name here, which chooses among several in a file; `part`: only arrays below that key;
    `guess`: whether order and shape may tell what names do not.

    Raises:
        Mismatch: they are not there; the sentence names layers and shapes.
        UserError: they are there more than once, or can be read in two ways.
    """
    held = {name: value.shape for name, value in stored.items() if not part or f"{name}.".startswith(f"{part}.")}
    if not held:
        tops = list(dict.fromkeys(name.partition(".")[0] for name in stored))
        raise UserError(f"The file holds nothing below the key {part!r}; it has {short(', '.join(tops), 200)}.")
    found = by_name(wanted, held, torch_order, network)
    if found is None and not guess:
        raise Mismatch("The file has other names than the network.")
    return found or by_order(wanted.needed, held, torch_order, ordered, network)


def by_name(wanted: Wanted, held: Mapping[str, Shape], torch_order: bool, network: str = "") -> Found | None:
    """The weights below the beginning that finds all names; None where names have too little in common to speak of."""
    needed = wanted.needed
    counts = _beginnings(needed, held)
    whole = [place for place, count in counts.items() if count == len(needed)]
    if not whole:
        best = max(counts, key=lambda place: counts[place], default="")
        if counts and 2 * counts[best] > len(needed):
            raise _lacking(wanted, held, best)
        return None
    place = one_place(whole, network)
    names = [(name, f"{place}{name}") for name in wanted.shapes if f"{place}{name}" in held]
    readings = [axes for axes in AXES if all(fits(held[theirs], wanted.shapes[ours], axes) for ours, theirs in names)]
    if not readings:
        wrong = [(ours, theirs) for ours, theirs in names
                 if not any(fits(held[theirs], wanted.shapes[ours], axes) for axes in AXES)] or names
        raise Mismatch(f"{len(wrong)} of the network's {len(names)} weights have another shape in the file: " + listed(
            f"{ours} is {shown(wanted.shapes[ours])} here and {shown(held[theirs])} there" for ours, theirs in wrong)
            + ".", len(names) - len(wrong))
    others = [other for other in whole if other != place and other.startswith(place)]
    own = {theirs for _, theirs in names}
    extra = [name for name in held if name.startswith(place) and name not in own and not name.endswith(COUNTER)
             and not any(name.startswith(other) for other in others)]
    if extra:
        raise Mismatch(f"The file holds {len(extra)} weights that the network has no place for: "
                       f"{listed(with_shape(name, held) for name in extra)}.", len(needed))
    torch_names = any(name.endswith((".weight", ".bias")) for name in needed)
    axes = one_reading(readings, torch_order or torch_names, needed.values())
    return Found(paired(names, wanted.shapes, held, axes), "name", place)


def _beginnings(needed: Mapping[str, Shape], held: Mapping[str, Shape]) -> dict[str, int]:
    """What stands before names of the network in the file -> how many it finds."""
    by_end: dict[str, list[str]] = {}
    for stored in held:
        words = stored.split(".")
        for cut in range(len(words)):
            by_end.setdefault(".".join(words[cut:]), []).append("".join(f"{word}." for word in words[:cut]))
    counts: dict[str, int] = {}
    for name in needed:
        for place in by_end.get(name, []):
            counts[place] = counts.get(place, 0) + 1
    return counts


def _lacking(wanted: Wanted, held: Mapping[str, Shape], place: str) -> Mismatch:
    needed = wanted.needed
    missing = [name for name in needed if f"{place}{name}" not in held]
    extra = [name for name in held if name.startswith(place) and name[len(place):] not in wanted.shapes
             and not name.endswith(COUNTER)]
    instead = f" It holds instead {listed(with_shape(name, held) for name in extra)}." if extra else ""
    return Mismatch(f"The file lacks {len(missing)} of the network's {len(needed)} weights: "
                    f"{listed(with_shape(name, needed) for name in missing)}.{instead}", sum(
                        any(fits(held[f"{place}{name}"], shape, axes) for axes in AXES)
                        for name, shape in needed.items() if f"{place}{name}" in held))
