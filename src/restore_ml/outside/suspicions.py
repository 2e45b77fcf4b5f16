"""What outputs of other tools look like when something went wrong: the truth, the input, or red and blue exchanged.

Figures alone do not show it. What is held against the truth here is only said, or refused; nothing is changed by it.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field

import numpy as np

from restore_ml import kinds, registry
from restore_ml.arrays import Arrays, ArraySpec
from restore_ml.outside.names import listed
from restore_ml.tasks.base import Sample
from restore_ml.tasks.protocol import protocol

ALMOST = 1.0
"""Levels (of 255): a root mean square error below this is what rounding and colour spaces leave of the truth itself.
reading: 48 dB, far beyond any restoration of a sample on which `EASY` is passed."""
EASY = 4.0
"""Levels: samples that the trivial restoration brings nearer to the truth than this prove nothing."""
FAR_BETTER = 0.5
"""Red and blue exchanged fit that much better, as a share of the error."""
COLOUR = 6.0
"""Levels between red and blue of the truth, root mean square, from which on a sample counts for that."""


@dataclass
class Suspicions:
    """What was seen of a case's samples so far, by their names."""

    task: str
    seen: int = 0
    truth: list[str] = field(default_factory=list)
    almost: list[str] = field(default_factory=list)
    hard: int = 0
    unchanged: dict[str, list[str]] = field(default_factory=dict)
    trivial: list[str] = field(default_factory=list)
    exchanged: list[str] = field(default_factory=list)
    coloured: int = 0
    errors: list[tuple[float, float]] = field(default_factory=list)

    def look(self, name: str, inputs: Arrays, output: Arrays, target: Arrays) -> None:
        """Take in one sample's output, as the task composed it."""
        self.seen += 1
        task = registry.task(self.task)
        free = _free(self.task, inputs, output)
        for own, value in inputs.items():
            for made, where in free.items():
                if value.shape == output[made].shape and value.dtype == output[made].dtype and where.any() and (
                        np.array_equal(value[where], output[made][where])):
                    self.unchanged.setdefault(own, []).append(name)
        if not target:
            return
        pair = _pair(self.task, output, target)
        if pair is None:
            return
        made, true = pair
        spec, where = task.output[made], free[made]
        if spec.kind in (kinds.LABELS, kinds.INSTANCES, kinds.BOXES):
            if target[true].any():
                self.hard += 1
                self.truth += [name] * np.array_equal(output[made], target[true])
            return
        self._against_truth(name, spec, output[made], target[true], where, Sample(inputs, target))
        if "rgb" in output and "rgb" in target:
            self._colours(name, output["rgb"], target["rgb"])
        elif spec.kind in (kinds.PICTURE, kinds.CLIP) and spec.channels == 3:
            self._colours(name, np.where(where, output[made], target[true]), target[true])

    def _against_truth(self, name: str, spec: ArraySpec, output: np.ndarray, truth: np.ndarray, where: np.ndarray,
                       sample: Sample) -> None:
        trivial = protocol(self.task).trivial(sample)
        unit = 1.0 if spec.kind is not kinds.FLOAT or "L" in sample.inputs else max(float(np.ptp(truth)), 1e-9) / 255
        error, easy = (_distance(value, truth, where) / unit for value in (output, trivial))
        if easy > EASY:
            self.hard += 1
            if np.array_equal(output[where], truth[where]):
                self.truth.append(name)
            elif error <= ALMOST:
                self.almost.append(name)
        if output.shape == trivial.shape and where.any() and float(
                np.abs(output[where].astype(np.float64) - trivial[where]).max()) <= 1.5 * unit:
            self.trivial.append(name)

    def _colours(self, name: str, output: np.ndarray, truth: np.ndarray) -> None:
        if _distance(truth, truth[..., ::-1]) < COLOUR:
            return
        self.coloured += 1
        right, wrong = _distance(output, truth), _distance(output[..., ::-1], truth)
        if wrong < FAR_BETTER * right:
            self.exchanged.append(name)
            self.errors.append((right, wrong))

    def refused(self) -> list[str]:
        """Sentences of what cannot be a result."""
        most = self.truth + self.almost if 2 * len(self.truth + self.almost) > self.hard else self.truth
        if self.truth and registry.task(self.task).output[_first(self.task)].kind in (
                kinds.LABELS, kinds.INSTANCES, kinds.BOXES) and 2 * len(self.truth) <= self.hard:
            most = []  # a few easy ones may be wholly right
        if not most:
            return []
        same = "to the bit" if len(most) == len(self.truth) else "to the bit or nearly so"
        return [f"{len(most)} of {self.seen} outputs are the truth itself, {same}: {listed(most)}. Some tools write "
                "the pictures that they compare with into the same folder; give those that it restored."]

    def said(self) -> list[str]:
        """Sentences of what is taken as it is, and that a person should know."""
        told = [f"{len(names)} of {self.seen} outputs are the input itself ({own}), unchanged: {listed(names)}. They "
                "are taken as they are." for own, names in self.unchanged.items()]
        if self.trivial:
            words = " ".join((inspect.getdoc(type(protocol(self.task)).trivial) or "").split()).rstrip(".")
            told.append(f"{len(self.trivial)} of {self.seen} outputs are what anybody gets for nothing "
                        f"({words[:1].lower()}{words[1:]}): {listed(self.trivial)}. They are taken as they are.")
        if self.exchanged:
            right, wrong = np.mean(self.errors, axis=0)
            told.append(f"Red and blue seem to be exchanged in {len(self.exchanged)} of {self.coloured} outputs with "
                        f"colours: {listed(self.exchanged)}. Read the other way round their error falls from "
                        f"{right:.1f} to {wrong:.1f} levels. They are taken as they are; if the tool wrote BGR, write "
                        "them as RGB and add them again.")
        return told


def _first(task: str) -> str:
    return next(iter(registry.task(task).output))


def _pair(task: str, output: Arrays, target: Arrays) -> tuple[str, str] | None:
    """The output and the target that are compared; None where being equal means nothing (a class)."""
    canary = protocol(task).canary()
    kind = registry.task(task).output[_first(task)].kind
    if kind in (kinds.LABELS, kinds.INSTANCES, kinds.BOXES):
        name = "instances" if "instances" in output and "instances" in target else _first(task)
        return (name, name) if name in target else None
    if canary is None or kind is kinds.NUMBER:
        return None
    return canary.output, canary.truth


def _free(task: str, inputs: Arrays, output: Arrays) -> dict[str, np.ndarray]:
    """Of each output where a tool has a say: what the task does not put back itself."""
    grids = {name: value for name, value in output.items() if value.ndim > 2}
    compose = registry.task(task).compose
    try:
        low = compose(inputs, {**output, **{name: np.zeros_like(value) for name, value in grids.items()}})
        high = compose(inputs, {**output, **{name: np.ones_like(value) for name, value in grids.items()}})
    except (KeyError, ValueError):
        return {name: np.ones(value.shape, bool) for name, value in output.items()}
    return {name: np.asarray(low[name] != high[name]) if name in grids else np.ones(value.shape, bool)
            for name, value in output.items()}


def _distance(one: np.ndarray, other: np.ndarray, where: np.ndarray | None = None) -> float:
    """Root mean square; infinite for what has another shape, nought where nothing is compared."""
    if one.shape != other.shape:
        return float("inf")
    error = (one.astype(np.float64) - other) if where is None else one[where].astype(np.float64) - other[where]
    return float(np.sqrt(np.mean(error ** 2))) if error.size else 0.0
