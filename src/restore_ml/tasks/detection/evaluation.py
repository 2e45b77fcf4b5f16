"""Detection: F1, precision and recall of a picture at an overlap of 0.5, and mAP@0.5 over the whole set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.metrics.boxes import Detections, f1, mean_average_precision
from restore_ml.tasks.base import Sample
from restore_ml.tasks.detection.drawing import MISSED, RIGHT, WRONG, drawn
from restore_ml.tasks.detection.task import THRESHOLD
from restore_ml.tasks.protocol import Canary, Guard, Metric, Protocol, SetRow, as_rgb


class Detection(Protocol):
    """The drawn fields rank: each is a group of its own. The tiles of a real field stand beside them.

    `f1`, `precision` and `recall`: of the boxes with a score of at least THRESHOLD; one is right as
    `restore_ml.metrics.boxes.assigned` says. `ap50`: the average precision of the picture, whatever the threshold.
    `map50`: the same over the boxes of the whole set.
    """

    task = "detection"
    metrics = (Metric("f1", 1, 4), Metric("precision", 1, 4), Metric("recall", 1, 4), Metric("ap50", 1, 4))
    set_metrics = (Metric("map50", 1, 4),)
    primary = "f1"
    primary_set = "nuclei_drawn"
    primary_degradation = "plain"
    baselines = ("template_matching",)
    guards = (Guard("ap50", margin=0.02),)
    minimum_gain = 0.005

    def measure(self, inputs: Arrays, output: Arrays, target: Arrays, context: Any) -> dict[str, float]:
        """A picture without objects has no recall and no average precision."""
        seen = detections(output, target)
        answers = answered(seen)
        hits = int((answers.assigned() >= 0).sum())
        found, true = len(answers.boxes), len(answers.true_boxes)
        return {"f1": f1(hits, found, true), "precision": hits / found if found else float("nan") if not true else 0.0,
                "recall": hits / true if true else float("nan"), "ap50": mean_average_precision([seen])}

    def measure_set(self, rows: Iterable[SetRow], context: Any, judge: Any) -> dict[str, float]:
        """`map50`."""
        return {"map50": mean_average_precision(detections(row.output, row.target) for row in rows)}

    def canary(self) -> Canary | None:
        """None: in a canary picture there are no objects of which anybody could say that they were missed."""
        return None

    def trivial(self, sample: Sample) -> np.ndarray:
        """No box."""
        return np.zeros((1, 4), np.float32)

    def show(self, inputs: Arrays, output: Arrays | None, target: Arrays) -> Arrays:
        """Boxes over the picture: right ones green, false ones red, and yellow what was missed."""
        picture = as_rgb(inputs["image"])
        real = target["boxes"].any(axis=1)
        shown = {"input": picture, "truth": drawn(picture, [(box, RIGHT) for box in target["boxes"][real]])}
        if output is None:
            return shown
        answers = answered(detections(output, target))
        rows = answers.assigned()
        missed = np.setdiff1d(np.arange(len(answers.true_boxes)), rows)
        boxes = [(answers.true_boxes[row], MISSED) for row in missed]
        boxes += [(box, WRONG) for box, row in zip(answers.boxes, rows, strict=True) if row < 0]
        boxes += [(box, RIGHT) for box, row in zip(answers.boxes, rows, strict=True) if row >= 0]
        return {**shown, "output": drawn(picture, boxes)}


def detections(output: Arrays, target: Arrays) -> Detections:
    """Without the rows that are no box; `ValueError` where there is not a class and a score for each box."""
    for arrays, names in ((output, ("labels", "scores")), (target, ("labels",))):
        for name in names:
            if len(arrays[name]) != len(arrays["boxes"]):
                raise ValueError(f"there are {len(arrays[name])} {name} for {len(arrays['boxes'])} boxes")
    found, true = output["boxes"].any(axis=1), target["boxes"].any(axis=1)
    return Detections(output["boxes"][found], output["labels"][found], output["scores"][found],
                      target["boxes"][true], target["labels"][true])


def answered(seen: Detections) -> Detections:
    """What has a score of at least THRESHOLD."""
    sure = seen.scores >= THRESHOLD
    return Detections(seen.boxes[sure], seen.labels[sure], seen.scores[sure], seen.true_boxes, seen.true_labels)


PROTOCOL = Detection()
