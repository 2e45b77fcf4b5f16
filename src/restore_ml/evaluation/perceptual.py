"""Distances by networks of others beside a table's figures: which there are, on which cases, and from which weights.

They are measured on pictures as they are shown. They rank nothing and guard nothing. Where the shelf lacks the weights
their columns are absent, and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, Protocol

from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256
from restore_ml.data.ledger import Ledger
from restore_ml.metrics.dists import load_dists
from restore_ml.metrics.fidelity import Array
from restore_ml.metrics.lpips import LEAST, load_lpips
from restore_ml.metrics.perceptual import PAIRS

if TYPE_CHECKING:
    from torch import Tensor

ALL, PRIMARY = "all", "primary"
CHEAP, DEAR = {"lpips_alex": PRIMARY}, {"lpips_alex": ALL, "lpips_vgg": PRIMARY, "dists": PRIMARY}
CASES: dict[str, dict[str, str]] = {"quick": CHEAP, "cpu": CHEAP, "gpu": DEAR, "paper": DEAR}
"""By profile, the distances and the cases on which each is measured. AlexNet takes 12 ms of one core for a picture of
192 x 192 and VGG16 250 ms, all other metrics together 8 ms (docs/measured.md), so `cpu` has what it can pay for."""
WEIGHTS = {"lpips_alex": ("alexnet", "lpips_alex"), "lpips_vgg": ("vgg16", "lpips_vgg"), "dists": ("vgg16", "dists")}
"""Of each distance, by their names in `restore_ml.nn.foreign_weights`."""
LOADED: dict[str, Callable[[], Distance]] = {
    "lpips_alex": lambda: load_lpips("alex"), "lpips_vgg": lambda: load_lpips("vgg"), "dists": load_dists}
PAIRED = "lpips_alex"
"""The distance of which the column `PAIRS` is made."""
MOST = 1 << 20
"""Pixels of a picture beyond which none is measured: VGG16's maps of as many take 0.5 GB."""
KEPT, LARGEST = 64, 4 << 20
"""How many true pictures' features are kept for a task, and of how many bytes each at most: 256 MB together."""


class Distance(Protocol):
    """What `restore_ml.metrics.lpips.Lpips` and `restore_ml.metrics.dists.Dists` have in common."""

    def features(self, picture: Array) -> dict[str, Tensor]:
        """What is compared, of a uint8 H x W x 3 picture."""

    def distance(self, a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
        """Between two pictures of one size, from their features."""


def _measurable(picture: Array) -> bool:
    """Whether it is neither too small nor too large."""
    return min(picture.shape[:2]) >= LEAST and picture.shape[0] * picture.shape[1] <= MOST


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Distances:
    """Distances by the names of their columns."""

    def __init__(self, measures: Mapping[str, Distance], only: Mapping[str, str] | None = None,
                 truths: Ledger | None = None) -> None:
        """`only`: the one case (`set/degradation`) on which a distance is measured, where it is not on all; `truths`:
        remembers the features of true pictures for the other runs of the task (its maker must be the code)."""
        self.measures, self.only, self.truths = dict(measures), dict(only or {}), truths or Ledger()
        self._kept: set[Path] = set()

    def on(self, case: str) -> list[str]:
        """The names of those that are measured on a case."""
        return [name for name in self.measures if self.only.get(name, case) == case]

    def measure(self, case: str, output: Array, truth: Array) -> dict[str, float]:
        """By name, with one thread whatever the process has; none for a picture that is too small or too large."""
        names = self.on(case)
        if not names or not _measurable(truth):
            return {}
        with _one_thread():
            return {name: self.measures[name].distance(self.measures[name].features(output), self._truth(name, truth))
                    for name in names}

    def between(self, case: str, drawn: Sequence[Array]) -> dict[str, float]:
        """`PAIRS` of the several results of one picture where AlexNet's distance is measured; nothing of fewer than
        two."""
        if PAIRED not in self.on(case) or len(drawn) < 2 or not _measurable(drawn[0]):
            return {}
        measure = self.measures[PAIRED]
        with _one_thread():
            features = [measure.features(picture) for picture in drawn]
            return {PAIRS: mean(measure.distance(one, other) for one, other in combinations(features, 2))}

    def _truth(self, name: str, truth: Array) -> dict[str, Tensor]:
        from safetensors.torch import load, save

        path = Path(name, sha256(f"{truth.shape}".encode() + truth.tobytes()))
        if len(self._kept) < KEPT:  # the same ones in every run, which comes by them in the same order
            self._kept.add(path)
        if path not in self._kept or not self.truths.on:
            return self.measures[name].features(truth)
        if self.truths.get(path) is not None and (raw := self.truths.raw(path)):
            return load(raw)
        features = self.measures[name].features(truth)
        if sum(value.nbytes for value in features.values()) <= LARGEST:
            self.truths.put(path, "", raw=save(features))
            self.truths.save()  # at once: others that score the task write to it too
        return features


def asked(profile: str) -> tuple[dict[str, Any], str]:
    """The distances of a profile that can be measured here, with their cases and the hashes of their weights, and a
    sentence about those that cannot (empty where all can)."""
    from restore_ml.nn import foreign_weights

    faults = {name: foreign_weights.fault(name) for name in {
        weights for figure in CASES[profile] for weights in WEIGHTS[figure]}}
    there = {figure: {"cases": cases, "weights": {name: foreign_weights.WEIGHTS[name].sha256
                                                  for name in WEIGHTS[figure]}}
             for figure, cases in CASES[profile].items() if not any(faults[name] for name in WEIGHTS[figure])}
    absent = [figure for figure in CASES[profile] if figure not in there]
    reasons = sorted({fault for fault in faults.values() if fault})
    return there, f"The tables have no {' and no '.join(absent)}: {' '.join(reasons)}" if absent else ""


def load(figures: Mapping[str, Mapping[str, Any]], primary: str, truths: Ledger | None = None) -> Distances:
    """The distances that `asked` found, of which some are measured on the `primary` case alone; `UserError` where the
    weights have gone since."""
    measures = {}
    for name in figures:
        try:
            measures[name] = LOADED[name]()
        except UserError as error:
            raise UserError(f"{name} cannot be measured: {error} `make repro` leaves it out until then.") from None
    return Distances(measures, {name: primary for name, entry in figures.items() if entry["cases"] == PRIMARY},
                     truths)
