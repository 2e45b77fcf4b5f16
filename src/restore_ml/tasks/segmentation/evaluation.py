"""Segmentation: how well nuclei are told apart (AJI, the score of the Data Science Bowl), and nuclei from background.

Touching nuclei that are taken for one hardly change Dice; that is why AJI ranks. Source: the method cards, 1.11.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.metrics import segmentation as figures
from restore_ml.tasks.base import Sample
from restore_ml.tasks.protocol import Canary, Guard, Metric, Protocol, as_rgb
from restore_ml.tasks.segmentation.instances import outlined
from restore_ml.tasks.segmentation.task import CLASSES


class Segmentation(Protocol):
    """The drawn fields rank, as each is a field of its own. The real one stands beside."""

    task = "segmentation"
    metrics = (Metric("aji", 1, 4), Metric("map", 1, 4), Metric("dice", 1, 4), Metric("iou", 1, 4),
               Metric("mean_iou", 1, 4), Metric("accuracy", 1, 4), Metric("boundary_f1", 1, 4))
    primary = "aji"
    primary_set = "nuclei_drawn"
    primary_degradation = "plain"
    baselines = ("classical_segmentation",)
    guards = (Guard("dice", margin=0.005), Guard("map", margin=0.02))
    minimum_gain = 0.005

    def measure(self, inputs: Arrays, output: Arrays, target: Arrays, context: Any) -> dict[str, float]:
        """`map`: the mean precision of the Data Science Bowl 2018; `boundary_f1`: of outlines, within 2 pixels."""
        made, truth = output["labels"][..., 0], target["labels"][..., 0]
        found, true = output["instances"][..., 0], target["instances"][..., 0]
        return {"aji": figures.aggregated_jaccard(true, found), "map": figures.bowl_precision(true, found),
                "dice": figures.dice(truth > 0, made > 0), "iou": figures.iou(truth > 0, made > 0),
                "mean_iou": figures.mean_iou(truth, made, len(CLASSES)), "accuracy": figures.accuracy(truth, made),
                "boundary_f1": figures.boundary_f1(true, found)}

    def canary(self) -> Canary:
        """See `Canary`. Of a canary picture the areas brighter than its mean count as nuclei, which no network has
        learned: it must give labels, and be right about something."""
        return Canary("labels", "labels", 0.0, 1.0, shift=0.9, floor=0.95, may_be_constant=True)

    def trivial(self, sample: Sample) -> np.ndarray:
        """No nucleus anywhere."""
        return np.zeros_like(sample.target["labels"])

    def show(self, inputs: Arrays, output: Arrays | None, target: Arrays) -> Arrays:
        """The field, and outlines of nuclei over it."""
        field = as_rgb(inputs["image"])
        pictures = {"input": field, "truth": outlined(field, target["instances"][..., 0])}
        return pictures if output is None else {**pictures, "output": outlined(field, output["instances"][..., 0])}


PROTOCOL = Segmentation()
