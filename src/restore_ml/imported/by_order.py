"""Weights whose names say nothing to us, found by the order of their layers and their shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from restore_ml.imported.names import Layer, Shape, layers
from restore_ml.imported.shapes import (
    AVERAGED,
    AXES,
    COUNTER,
    Found,
    Mismatch,
    fits,
    listed,
    one_place,
    one_reading,
    paired,
    with_shape,
)

NETWORKS = (*AVERAGED, "params", "state", "dict", "model", "module", "net", "network", "generator", "discriminator",
            "critic", "g", "d", "gen", "dis", "weights", "encoder", "decoder", "enc", "dec", "a", "b", "ab", "ba",
            "teacher", "student", "target")
"""Words in the names of networks within a file."""
Names = list[tuple[str, str]]


def by_order(needed: Mapping[str, Shape], held: Mapping[str, Shape], torch_order: bool, ordered: bool,
             network: str = "") -> Found:
    """The weights in the one network of the file that has these layers and no others.

    Arguments as of `restore_ml.imported.mapping.mapped`; `Mismatch`, the nearest one, where there is no such network.
    """
    closest: Mismatch | None = None
    places = [""]
    while places:
        fitting: dict[str, dict[str, Names]] = {}
        for place in places:
            own = {name: shape for name, shape in held.items() if name.startswith(place) and not name.endswith(COUNTER)}
            for axes in AXES:
                try:
                    fitting.setdefault(place, {})[axes] = _in_order(needed, own, ordered, axes)
                except Mismatch as error:
                    closest = error if closest is None or error.close > closest.close else closest
        fitting = {place: found for place, found in fitting.items() if found}
        if fitting:
            place = one_place(list(fitting), network)
            axes = one_reading(list(fitting[place]), torch_order, needed.values())
            return Found(paired(fitting[place][axes], needed, held, axes), "order", place)
        places = [deeper for place in places for deeper in _parts(held, place)]
    raise closest or Mismatch("The file holds no weights.")


def _parts(held: Iterable[str], place: str) -> list[str]:
    """What the names of each network begin with in a part of a file that holds several. Its parts are networks where
    all of their names are words for such: a layer, or the kernels alone, must never be taken for one."""
    inside = [name[len(place):] for name in held if name.startswith(place)]
    parts = list(dict.fromkeys(name.partition(".")[0] for name in inside))
    if all(_is_network(part) for part in parts) and all("." in name for name in inside):
        return [f"{place}{part}." for part in parts]
    return []


def _is_network(part: str) -> bool:
    words = part.lower().removeprefix("net").strip("_").split("_") if part.lower() != "net" else ["net"]
    return all(word in NETWORKS for word in words)


def _in_order(needed: Mapping[str, Shape], own: Mapping[str, Shape], ordered: bool, axes: str) -> Names:
    ours, theirs = layers(needed), layers(own)
    if ours is None or theirs is None:
        return _one_by_one(needed, own, ordered, axes)
    left = list(theirs)
    names: Names = []
    for layer in ours:
        like = [other for other in left if set(layer.parts) == set(other.parts) and all(
            fits(own[other.parts[part]], needed[name], axes) for part, name in layer.parts.items())]
        if not like:
            told = _described(left[0], own) if left else "nothing"
            raise Mismatch(f"The network has {len(ours)} layers and the file {len(theirs)}. For "
                           f"{_described(layer, needed)} the file has no such layer left; next in it is {told}.",
                           len(names))
        if not ordered and len({other.skeleton for other in like}) > 1:
            raise Mismatch(f"{_described(like[0], own)} and {_described(like[-1], own)} of the file both fit "
                           f"{_described(layer, needed)}, and safetensors keeps no order of layers; give them the "
                           "network's names, or take the authors' .pth.", len(names))
        left.remove(like[0])
        names += [(layer.parts[part], like[0].parts[part]) for part in layer.parts]
    if left:
        raise Mismatch(f"The network has {len(ours)} layers and the file {len(theirs)}; left over: "
                       f"{listed(_described(other, own) for other in left)}.", len(names))
    return names


def _described(layer: Layer, shapes: Mapping[str, Shape]) -> str:
    return ", ".join(with_shape(name, shapes) for name in layer.parts.values())


def _one_by_one(needed: Mapping[str, Shape], own: Mapping[str, Shape], ordered: bool, axes: str) -> Names:
    """Where names do not say what their arrays are: array after array, all of them."""
    if not ordered:
        raise Mismatch("The names of the file are not the network's and do not say what each array is, and safetensors "
                       "keeps no order; give them the network's names, or take the authors' .pth.")
    names = list(zip(needed, own, strict=False))
    for place, (ours, theirs) in enumerate(names):
        if not fits(own[theirs], needed[ours], axes):
            raise Mismatch(f"The network has {len(needed)} weights and the file {len(own)}. Number {place + 1} is "
                           f"{with_shape(ours, needed)} here and {with_shape(theirs, own)} there.", place)
    if len(needed) != len(own):
        raise Mismatch(f"The network has {len(needed)} weights and the file {len(own)}; the first {len(names)} fit.",
                       len(names))
    return names
