"""What both ways of finding weights share: what is wanted, what is found, and how the axes of an array lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.imported.names import Shape, shown

AS_TORCH, TURNED = "as it is", "height x width x in x out"
AXES = (AS_TORCH, TURNED)
"""How kernels lie in a file: as torch has them (out x in x height x width), or as TensorFlow and MATLAB do."""
AVERAGED = ("ema", "avg", "average", "averaged")
"""Words in the name of weights that were averaged over the training, which authors publish and test."""
COUNTER = "num_batches_tracked"
"""What a normalisation counts beside its weights; a file may lack it."""
MOST = 6
"""Layers that a sentence names."""


class Mismatch(UserError):
    """The arrays are not those of the network. `close`: how many of the network's arrays had their like."""

    def __init__(self, text: str, close: int = 0) -> None:
        super().__init__(text)
        self.close = close


@dataclass(frozen=True)
class Wanted:
    """A network's tensors: shapes by name in their order; `constants`: those that a file may lack, being fixed."""

    shapes: Mapping[str, Shape]
    constants: frozenset[str] = frozenset()

    @property
    def needed(self) -> dict[str, Shape]:
        """Those that the file must have."""
        return {name: shape for name, shape in self.shapes.items()
                if not name.endswith(COUNTER) and name not in self.constants}


@dataclass(frozen=True)
class Pair:
    """A weight of ours, the array of the file that it takes and how its axes lie there."""

    ours: str
    theirs: str
    shape: Shape
    stored: Shape
    axes: str


@dataclass(frozen=True)
class Found:
    """All pairs of a network; `how`: by `name` or by `order`; `inside`: what their names in the file begin with."""

    pairs: list[Pair]
    how: str
    inside: str

    def arrays(self, stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The network's weights by its own names, in its own shapes."""
        return {pair.ours: arranged(stored[pair.theirs], pair.shape, pair.axes) for pair in self.pairs}


def paired(names: Iterable[tuple[str, str]], wanted: Mapping[str, Shape], held: Mapping[str, Shape],
           axes: str) -> list[Pair]:
    """Pairs of names with their shapes."""
    return [Pair(ours, theirs, wanted[ours], held[theirs], axes if len(wanted[ours]) > 1 else AS_TORCH)
            for ours, theirs in names]


def one_reading(readings: Sequence[str], torch_order: bool, shapes: Iterable[Shape]) -> str:
    """The reading of axes to take among those in which everything fits: a `UserError` where nothing decides."""
    if len(readings) > 1 and not torch_order and any(len(shape) > 1 for shape in shapes):
        raise UserError("The kernels of the file fit as out x in x height x width and as height x width x in x out, "
                        "and nothing says which is meant; save them as torch has them, as safetensors or .pth.")
    return readings[0]


def one_place(places: Sequence[str], network: str) -> str:
    """What the names of the weights begin with, where several beginnings fit: the one that names the network, then the
    averaged one; a `UserError` where more are left."""
    left = [place for place in places if network and network in place.split(".")] or list(places)
    averaged = [place for place in left if _averaged(place)]
    if len(averaged) == 1 and len({_plain(place) for place in left} - {""}) <= 1:
        left = averaged
    if len(left) > 1:
        names = [place.rstrip(".") for place in left]
        told = ", ".join(repr(name) if name else "its top" for name in names)
        raise UserError(f"The file holds such a network {len(left)} times: below {told}. Say which one is "
                        f"meant, as `FILE#{names[-1]}`.")
    return left[0]


def _averaged(place: str) -> bool:
    return any(word in AVERAGED for word in place.lower().replace(".", "_").split("_"))


def _plain(place: str) -> str:
    """A beginning without the words of averaging: `params_ema.` and `params.` are one."""
    parts = ["_".join(word for word in part.split("_") if word.lower() not in AVERAGED) for part in place.split(".")]
    return ".".join(part for part in parts if part)


def fits(stored: Shape, wanted: Shape, axes: str) -> bool:
    """Whether an array of the file is one of ours, when its axes lie so."""
    if len(wanted) < 2:  # MATLAB has vectors as columns
        return tuple(length for length in stored if length != 1) == tuple(length for length in wanted if length != 1)
    full = _padded(stored, len(wanted), axes)
    if full is None:
        return False
    return wanted == (full if axes == AS_TORCH else tuple(full[place] for place in _order(len(full))))


def arranged(value: np.ndarray, shape: Shape, axes: str) -> np.ndarray:
    """An array of the file in our shape, which it fits."""
    full = _padded(value.shape, len(shape), axes)
    if len(shape) < 2 or full is None:
        return value.reshape(shape)
    whole = value.reshape(full)
    return np.ascontiguousarray(whole if axes == AS_TORCH else whole.transpose(_order(len(full))))


def _padded(stored: Shape, count: int, axes: str) -> Shape | None:
    """MATLAB drops last axes of length 1; None where the shape has other axes than asked for."""
    lacking = count - len(stored)
    if lacking and (axes == AS_TORCH or not 0 < lacking <= 2):
        return None
    return (*stored, *(1,) * lacking)


def _order(count: int) -> tuple[int, ...]:
    """Where out, in and the other axes lie among the others, in, out."""
    return (count - 1, count - 2, *range(count - 2))


def listed(items: Iterable[str]) -> str:
    """A few of many, for a sentence."""
    found = list(items)
    return "; ".join(found[:MOST]) + (f"; and {len(found) - MOST} more" if len(found) > MOST else "")


def with_shape(name: str, shapes: Mapping[str, Shape]) -> str:
    """`body.0.weight (64 x 1 x 3 x 3)`."""
    return f"{name} ({shown(shapes[name])})"
