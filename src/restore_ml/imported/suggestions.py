"""With which settings of a method the weights of a file would fit, where trying tells it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from restore_ml.base.errors import UserError
from restore_ml.imported.shapes import Mismatch
from restore_ml.method import Method

if TYPE_CHECKING:
    from torch import nn

    from restore_ml.nn.foreign_checkpoints import Checkpoint

Fit = Callable[[Method, Mapping[str, "nn.Module"]], Any]
TRIES = 300
"""How many settings are tried: no clock, as the sentence stands in a tracked file."""
ROUNDS = 4
"""How many settings may have to change."""


def suggestion(method: Method, fit: Fit, checkpoint: Checkpoint) -> str:
    """A sentence: the settings with which `fit` raises nothing, or that none was found."""
    found = fitting(method, fit, checkpoint)
    if found is None:
        return "No setting of the method that was tried mends it; these may be the weights of another network."
    told = ", ".join(f"{key}: {_yaml(value)}" for key, value in found.items())
    return f"They fit with these settings of the run: `{told}`."


def fitting(method: Method, fit: Fit, checkpoint: Checkpoint) -> dict[str, Any] | None:
    """The settings to change, as few as trying finds: those of the paper first, then one after the other."""
    tried = 0
    relevant = [key for key in method.settings if _matters(method, key)]
    paper = {key: method.paper[key] for key in method.paper if method.paper[key] != method.settings.get(key)
             and key in (*relevant, *(key for key, value in method.paper.items() if isinstance(value, list)))}
    if paper and _close(method, paper, fit) is None:
        return _fewest(method, paper, fit)
    chosen: dict[str, Any] = {}
    best = _close(method, {}, fit) or 0
    for _ in range(ROUNDS):
        step: dict[str, Any] | None = None
        for key in relevant:
            for value in _values(method, key, checkpoint):
                tried += 1
                if tried > TRIES:
                    return None
                close = _close(method, chosen | {key: value}, fit)
                if close is None:
                    return _fewest(method, chosen | {key: value}, fit)
                if close > best:
                    best, step = close, {key: value}
        if step is None:
            return None
        chosen |= step
    return None


def _fewest(method: Method, changes: dict[str, Any], fit: Fit) -> dict[str, Any]:
    """The changes without those that are not needed."""
    for key in list(changes):
        fewer = {other: value for other, value in changes.items() if other != key}
        if fewer and _close(method, fewer, fit) is None:
            changes = fewer
    return changes


def _close(method: Method, changes: dict[str, Any], fit: Fit) -> int | None:
    """None where the weights fit with these settings, else how many have their like; -1 where nothing can be built."""
    networks = _shapes(method, changes)
    if networks is None:
        return -1
    try:
        fit(*networks)
    except Mismatch as error:
        return error.close
    except UserError:
        return -1
    return None


def _shapes(method: Method, changes: Mapping[str, Any]) -> tuple[Method, dict[str, nn.Module]] | None:
    """The method with these settings and its networks, without memory for their weights."""
    import torch

    try:
        other = type(method)({**method.settings, **changes})
        with torch.device("meta"), torch.random.fork_rng():
            return other, other.build()
    except Exception:  # settings that do not go together raise of everything
        return None


def _matters(method: Method, key: str) -> bool:
    """Whether a setting changes the shapes of the networks."""
    before = _shapes(method, {})
    value = method.settings[key]
    others: list[Any] = [other for other in method.choices.get(key, ()) if other != value]
    others += [not value] if isinstance(value, bool) else [value + 1, 2 * value] if isinstance(value, int) else []
    for other in others:
        after = _shapes(method, {key: other})
        if before and after and list(_sizes(before[1])) != list(_sizes(after[1])):
            return True
    return False


def _sizes(networks: Mapping[str, nn.Module]) -> Iterator[tuple[str, str, Any]]:
    for name, network in networks.items():
        for key, value in network.state_dict().items():
            yield name, key, value.shape


def _values(method: Method, key: str, checkpoint: Checkpoint) -> list[Any]:
    """What to try for a setting: the other choices; for whole numbers the lengths and the counts that a file has."""
    value = method.settings[key]
    if key in method.choices:
        return [other for other in method.choices[key] if other != value]
    if isinstance(value, bool):
        return [not value]
    kernels = [array.shape for array in checkpoint.arrays.values() if array.ndim > 1]
    lengths = [length for length, _ in Counter(length for shape in kernels for length in shape).most_common(12)]
    counts = [number for many in (len(kernels), len(kernels) - 1, len(kernels) - 2)
              for number in (many, many // 2, many // 3) if number > 0]
    return [other for other in dict.fromkeys([*lengths, *counts, *range(1, 11)]) if other != value]


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
