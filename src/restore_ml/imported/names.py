"""Names of weights taken apart: which layer an array belongs to and what it is there, in any library's spelling."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Shape = tuple[int, ...]
ROLES = {
    "weight": ("weight", "weights", "kernel", "kernels", "filter", "filters", "w", "gamma", "scale"),
    "bias": ("bias", "biases", "b", "beta", "offset"),
    "mean": ("mean",),
    "var": ("var", "variance"),
}
"""What an array is in its layer, and the words for it: torch, TensorFlow, flax, MATLAB."""
_ROLE_OF = {word: role for role, words in ROLES.items() for word in words}
_WORDS = re.compile(r"[A-Za-z]+|\d+")
_MOVING = ("running", "moving")


@dataclass
class Layer:
    """The arrays of one layer: what each is there -> its name. `stem`: the words of its name."""

    stem: tuple[str, ...]
    parts: dict[str, str] = field(default_factory=dict)

    @property
    def skeleton(self) -> tuple[str, ...]:
        """The stem with its numbers left out: layers that differ in numbers alone have one."""
        return tuple("#" if word.isdigit() else word for word in self.stem)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the stem: what puts such layers in order."""
        return tuple(int(word) for word in self.stem if word.isdigit())


def role(name: str) -> tuple[tuple[str, ...], str]:
    """The words of a layer's name and what the array is there; an empty role where its name says nothing of it.

    `body.0.weight` and `body_0/kernel:0` are `("body", "0")` and `weight`; `conv1_W` is `("conv", "1")`, `weight`.
    """
    words = [word.lower() for word in _WORDS.findall(re.sub(r":\d+$", "", name))]
    for place in range(len(words) - 1, -1, -1):
        if words[place] in _ROLE_OF:
            rest = words[:place] + words[place + 1:]
            return tuple(word for word in rest if word not in _MOVING), _ROLE_OF[words[place]]
    return tuple(words), ""


def layers(names: Iterable[str]) -> list[Layer] | None:
    """The layers in the order of their first arrays; None where a name does not say what its array is, or two arrays
    would be the same one of a layer."""
    found: dict[tuple[str, ...], Layer] = {}
    for name in names:
        stem, part = role(name)
        layer = found.setdefault(stem, Layer(stem))
        if not part or part in layer.parts:
            return None
        layer.parts[part] = name
    return numbered(list(found.values()))


def numbered(found: Sequence[Layer]) -> list[Layer]:
    """The layers, those that differ in numbers alone in the order of these numbers (2 before 10), each such family in
    the places that it had."""
    families: dict[tuple[str, ...], list[Layer]] = {}
    for layer in found:
        families.setdefault(layer.skeleton, []).append(layer)
    queues = {skeleton: iter(sorted(members, key=lambda layer: layer.numbers))
              for skeleton, members in families.items()}
    return [next(queues[layer.skeleton]) for layer in found]


def shown(shape: Shape) -> str:
    """`64 x 1 x 3 x 3`; `one number` for a shape without lengths."""
    return " x ".join(map(str, shape)) or "one number"
