"""What a task's comparison measures: its metrics, its primary metric and case, its guards, how a sample is shown.

One `Protocol` per task lives in `tasks/<task>/evaluation.py` as `PROTOCOL`; `protocol(name)` imports only that one.
"""

from __future__ import annotations

import copy
import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.metrics.perceptual import DISTANCE, PUBLISHED
from restore_ml.registry import nearest, tables
from restore_ml.tasks.base import Sample

if TYPE_CHECKING:
    import pandas

CAP = 60.0
"""The most dB that a PSNR counts in a score row. Rounding to 8 bits alone makes an error of 58.9 dB (a variance of 1/12
level), so nobody sees a difference beyond; uncapped, one flat page (71 dB, or infinite where nothing was changed)
decides the mean of all other pictures."""


@dataclass(frozen=True)
class Metric:
    """A column of the score rows. `direction`: 1 higher is better, -1 lower is better, 0 only described."""

    name: str
    direction: int
    digits: int = 3
    unit: str = ""

    @property
    def heading(self) -> str:
        """The name with an arrow that says which way is better."""
        return self.name + {1: " ↑", -1: " ↓", 0: ""}[self.direction]


@dataclass(frozen=True)
class Guard:
    """What a champion's other metrics must hold on the primary case, so that the primary one alone cannot be gamed.

    `margin`: how much worse than the champion (or, for the first one, than the baseline) the mean may be, in the
    metric's units; `least` and `most`: bounds on the mean itself. None: not asked. `middle`: the bounds are on the
    median over pictures instead, for a ratio that a few pictures make huge (a nearly grey truth).
    """

    metric: str
    margin: float | None = None
    least: float | None = None
    most: float | None = None
    middle: bool = False


@dataclass(frozen=True)
class SetRow:
    """One restored sample of a case, for figures of the whole set."""

    record: Record
    """Id and facts of the picture, its arrays the inputs."""
    output: Arrays
    target: Arrays


@dataclass(frozen=True)
class Canary:
    """What is asked of a restored canary picture (`restore_ml.promotion.canaries`).

    `output`, `truth`: the arrays that are compared. `low`, `high`: what values may be. `shift`: how far the mean over
    the restored pixels may lie from the truth's, a channel. `floor`: a root mean square error below this is sane
    whatever the trivial restoration reaches. `settings`: of the task, under which whole pictures are degraded.
    `may_be_constant`: whether a constant output may be right (no colour is a constant).

    reading: bounds of ours, wide enough for every sound method here on pictures that it was never trained for.
    """

    output: str
    truth: str
    low: float
    high: float
    shift: float
    floor: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    may_be_constant: bool = False


@dataclass(frozen=True)
class Sweep:
    """A degradation of rising strength that the champion and the baseline alone are restored at
    (`restore_ml.promotion.sweeps`)."""

    name: str
    """Of what rises, as the names of degradations end in: `noise`."""
    meaning: str
    """The same in words, with its unit."""
    strengths: tuple[int, ...]


class Protocol(ABC):
    """Subclass it in `tasks/<task>/evaluation.py` and set `PROTOCOL` there."""

    task: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    set_metrics: ClassVar[tuple[Metric, ...]] = ()
    """Figures of a whole case, which stand beside the means; none of them ranks."""
    primary: ClassVar[str]
    """The metric that ranks."""
    primary_set: ClassVar[str]
    primary_degradation: ClassVar[str]
    perceptual: ClassVar[bool] = False
    """Whether the pictures that are shown are compared by LPIPS and DISTS too (`restore_ml.evaluation.perceptual`)."""
    shrinks_in_blind_test: ClassVar[bool] = False
    """Whether the blind test shows pictures made smaller, as the source of the test does for colour."""
    baselines: ClassVar[tuple[str, ...]]
    """Methods without training, the first one present is what the table's differences are against."""
    guards: ClassVar[tuple[Guard, ...]] = ()
    sweep: ClassVar[Sweep | None] = None
    """A degradation whose strength rises; `swept` makes its samples."""
    figures_without_truth: ClassVar[tuple[Metric, ...]] = ()
    """What `measure_without_truth` measures of cases whose truth nobody knows (`Cases.without_truth`)."""
    minimum_gain: ClassVar[float] = 0.0
    """Least mean gain of the primary metric with which a challenger replaces the champion."""
    reading: ClassVar[str] = ""
    """Sentences that a reader of the table needs: who judges, which choices of measuring are ours. They stand over
    comparison/<task>/table.md and under the leaderboards of the gallery."""

    def context(self, targets: Iterable[Arrays]) -> Any:
        """What the metrics need of a whole case (class frequencies), from its targets; computed once a case."""
        return None

    @abstractmethod
    def measure(self, inputs: Arrays, output: Arrays, target: Arrays, context: Any) -> dict[str, float]:
        """The metrics of one sample by name; a metric that is not defined for it may be NaN or missing.

        Arrays are those of the task on disk (channels last); raises `ValueError` where shapes do not fit.
        """

    def measure_on_primary(self, inputs: Arrays, output: Arrays, target: Arrays) -> dict[str, float]:
        """Metrics of one sample that cost too much for every case: of the primary case alone, beside `measure`.

        Each must be among `metrics`; on the other cases it is NaN.
        """
        return {}

    def measure_without_truth(self, inputs: Arrays, output: Arrays) -> dict[str, float]:
        """Figures of one restored sample of a case without a truth, by name: each must be among
        `figures_without_truth`. They stand below the picture and nowhere else."""
        return {}

    def measure_set(self, rows: Iterable[SetRow], context: Any, judge: Any) -> dict[str, float]:
        """Figures of a whole case (rank-1, macro-F1, a Frechet distance), by name: each must be among `set_metrics`.

        `rows`: the samples that the run restored, in the order of ids, read once and lazily. `judge`: what the run that
        the task's runs.yaml names under `judge:` gives (a recogniser, a segmenter: its method and model, or a feature
        network), which scoring depends on; None where it names none.
        """
        return {}

    def swept(self, target: Arrays, strength: int, rng: np.random.Generator) -> tuple[str, Sample]:
        """The truth of a test sample, degraded as strongly as the `sweep` asks: the name of the degradation that
        methods are asked for, and the sample without optional inputs."""
        raise NotImplementedError

    @abstractmethod
    def canary(self) -> Canary | None:
        """What a canary picture must show once restored; None where nothing can be asked (a task without a truth)."""

    @abstractmethod
    def trivial(self, sample: Sample) -> np.ndarray:
        """What anybody gets for nothing, in the units and size of the truth (bicubic, no colour, the mean of the known
        pixels): canaries and floors are held against it."""

    def drawn(self, inputs: Arrays, output: Arrays) -> list[np.ndarray]:
        """Several results of one sample as H x W x 3 uint8 pictures, of a method that draws them; the mean of
        their distances by a network is the column `PAIRS` of `restore_ml.metrics.perceptual`, which a protocol that
        gives any has among its `metrics`."""
        return []

    @abstractmethod
    def show(self, inputs: Arrays, output: Arrays | None, target: Arrays) -> dict[str, Any]:
        """`input`, `truth` where there is one and, unless `output` is None, `output`: H x W x 3 uint8 pictures of one
        size. Of a case without a truth `target` is empty.

        Any other name (`style`, `t2`) is one more picture of the sample, shown behind `input` in the order given. Each
        may be a `restore_ml.tasks.panels.Panel` instead: the frames of a clip, a caption, a class's probabilities; what
        is drawn over a picture (outlines, boxes, dots) stands there too. The frame in the middle of a clip is what
        `perceptual` compares and the blind test asks about."""

    def metric(self, name: str) -> Metric:
        """The metric of that name; the sentence of a `UserError` names the nearest right one."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        names = [metric.name for metric in self.metrics]
        raise UserError(f"{self.task} has no metric {name!r}; it has {', '.join(names)}.{nearest(name, names)}")

    def primary_case(self, cases: Iterable[str]) -> str:
        """The case (`set/degradation`) that ranks: the protocol's own, else the nearest to it that there is.

        reading: where the embedded test set or the usual degradation is not tested, the first case in the order of
        names with the right degradation, then with the right set, then any.
        """
        present = sorted(set(cases))
        if not present:
            raise UserError(f"{self.task} has no test case; add test pictures, or degradations under `tasks:`.")
        return min(present, key=lambda case: (case.split("/")[1] != self.primary_degradation,
                                            case.split("/")[0] != self.primary_set, case))


def protocol(name: str) -> Protocol:
    """The protocol of a task; `UserError` for an unknown one."""
    if name not in tables():
        raise UserError(f"There is no comparison for {name!r}; the tasks are {', '.join(tables())}."
                        f"{nearest(name, tables())}")
    return importlib.import_module(f"restore_ml.tasks.{name}.evaluation").PROTOCOL


def with_distances(rules: Protocol, columns: Iterable[str]) -> Protocol:
    """The protocol with a metric more for each distance by a network (`lpips_alex`, `feat_dist@<network>`) and each
    figure of a whole set among a table's columns."""
    names = set(map(str, columns))
    distances = [*(name for name in PUBLISHED if name in names), *sorted(name for name in names
                                                                        if name.startswith(DISTANCE))]
    extra = (*(Metric(name, -1, 4) for name in distances),
             *(metric for metric in rules.set_metrics if metric.name in names))
    wider = copy.copy(rules)
    wider.__dict__["metrics"] = rules.metrics + extra
    return wider


def with_figures(rules: Protocol, table: pandas.DataFrame) -> Protocol:
    """`with_distances` of the columns that hold a figure; the metrics without any are left out, but for the one that
    ranks."""
    known = set(table.columns[table.notna().any()])
    wider = with_distances(rules, known)
    kept = tuple(metric for metric in wider.metrics if metric.name in known or metric.name == rules.primary)
    shown = copy.copy(wider)
    shown.__dict__["metrics"] = kept
    return shown


def capped(decibels: float) -> float:
    """A PSNR for a score row: at most `CAP` (NaN passes).

    >>> capped(float("inf")), capped(71.0), capped(34.5)
    (60.0, 60.0, 34.5)
    """
    return float(np.minimum(decibels, CAP))


def as_rgb(picture: np.ndarray) -> np.ndarray:
    """An H x W x 1 or H x W x 3 uint8 picture as H x W x 3."""
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture
