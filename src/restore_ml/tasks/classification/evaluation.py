"""Classification: accuracy and Brier's score of a picture; of a set macro-F1 and what its confusion matrix says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from restore_ml.arrays import Arrays, words
from restore_ml.metrics.classes import brier, confusion, macro_f1, recalls, worst_confusion
from restore_ml.tasks.base import Sample
from restore_ml.tasks.classification.drawing import RIGHT, WRONG, enlarged, labelled
from restore_ml.tasks.protocol import Canary, Guard, Metric, Protocol, SetRow


class Classification(Protocol):
    """The digits of MNIST rank, each a group of its own; small digits and crops of photographs stand beside them. The
    first run of the classical method by name is the baseline: the nearest neighbour.

    `accuracy`: 1 for the right class, else 0. `brier`: of the probabilities; where a method gives none, its class has
    all of it. Of the confusion matrix: `macro_f1`, `balanced_accuracy` (the mean share of each class that is found),
    `worst_recall` (the least of these) and `worst_confusion` (the largest share of a class that is taken for one and
    the same other).
    """

    task = "classification"
    metrics = (Metric("accuracy", 1, 4), Metric("brier", -1, 4))
    set_metrics = (Metric("macro_f1", 1, 4), Metric("balanced_accuracy", 1, 4), Metric("worst_recall", 1, 4),
                   Metric("worst_confusion", -1, 4))
    primary = "accuracy"
    primary_set = "digits"
    primary_degradation = "digits"
    baselines = ("classical_classifier",)
    guards = (Guard("brier", margin=0.02),)
    minimum_gain = 0.002

    def measure(self, inputs: Arrays, output: Arrays, target: Arrays, context: Any) -> dict[str, float]:
        """`ValueError` for a class that was not asked for, or probabilities of another number of classes."""
        classes, label, answer = _classes(inputs), int(target["label"]), int(output["label"])
        if not 0 <= answer < len(classes):
            raise ValueError(f"the class {answer} is none of the {len(classes)} that are asked for")
        probabilities = output.get("probabilities", np.eye(len(classes))[answer])
        if len(probabilities) != len(classes):
            raise ValueError(f"there are probabilities of {len(probabilities)} classes, not of {len(classes)}")
        return {"accuracy": float(answer == label), "brier": brier(probabilities, label)}

    def measure_set(self, rows: Iterable[SetRow], context: Any, judge: Any) -> dict[str, float]:
        """See the class."""
        pairs = [(int(row.target["label"]), int(row.output["label"])) for row in rows]
        if not pairs:
            return {}
        labels, answers = zip(*pairs, strict=True)
        matrix = confusion(labels, answers)
        shares = recalls(matrix)
        return {"macro_f1": macro_f1(matrix), "balanced_accuracy": float(shares.mean()),
                "worst_recall": float(shares.min()), "worst_confusion": worst_confusion(matrix)}

    def canary(self) -> Canary | None:
        """None: a canary picture shows none of the classes, so no answer to it is wrong."""
        return None

    def trivial(self, sample: Sample) -> np.ndarray:
        """The first class."""
        return np.array(0, np.int32)

    def show(self, inputs: Arrays, output: Arrays | None, target: Arrays) -> Arrays:
        """The picture with its class below; of an output also the likeliest classes as bars."""
        picture, classes, label = enlarged(inputs["image"]), _classes(inputs), int(target["label"])
        truth = labelled(picture, classes[label], RIGHT)
        if output is None:
            return {"input": picture, "truth": truth}
        answer = int(output["label"])
        probabilities = output.get("probabilities")
        shares = {} if probabilities is None else dict(zip(classes, probabilities.tolist(), strict=True))
        shown = labelled(picture, classes[answer], RIGHT if answer == label else WRONG, shares)
        return {"input": picture, "truth": truth, "output": shown}


def _classes(inputs: Arrays) -> list[str]:
    return words(inputs["classes"]).split("\n")


PROTOCOL = Classification()
