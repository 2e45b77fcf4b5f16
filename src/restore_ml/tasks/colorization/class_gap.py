"""Whether a classifier of true pictures still knows what coloured ones show (Zhang et al. 2016, section 3.1).

Source: the method card for colorization, 1.6 item 7. A classifier that learned from pictures in colour is asked three
times about each test picture: of its truth, of its grey and of what a run made of it. It is the run of classification
that the task's runs.yaml names under `judge:`. The class of a test picture is the folder that holds it (`cat/1.png`),
as in the domain of labelled pictures; a test set none of whose folders is a class of the judge has no such figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import to_rgb8
from restore_ml.metrics.classes import gap_interval, gap_recovered
from restore_ml.tasks.classification.task import names
from restore_ml.tasks.protocol import Metric, SetRow

FIGURES = (Metric("cls_gap", 1, 2), Metric("cls_gap_low", 0, 2), Metric("cls_gap_high", 0, 2), Metric("cls_acc", 1, 3),
           Metric("cls_acc_truth", 0, 3), Metric("cls_acc_grey", 0, 3))


def class_gap(rows: Iterable[SetRow], judge: Any) -> dict[str, float]:
    """`cls_acc`, `cls_acc_truth` and `cls_acc_grey`, the shares of pictures whose class the judge finds in the coloured
    ones, the true ones and the grey ones; `cls_gap`, how much of the way from grey to truth the colours go
    (`gap_recovered`; not there where truth is no better than grey), and `cls_gap_low` and `cls_gap_high`, its 95 %
    interval over photographs (`gap_interval`). Nothing without a judge or a known class.

    `judge`: method and model of a run of classification. `UserError` for one that does not say what it knows.
    """
    known = list(known_by_photograph(rows, judge).values())
    if not known:
        return {}
    pictures, *counts = np.sum(known, axis=0).tolist()
    coloured, truth, grey = (count / pictures for count in counts)
    low, high, _ = gap_interval(np.array(known)[:, [1, 3, 2]])
    return {"cls_gap": gap_recovered(coloured, grey, truth), "cls_gap_low": low, "cls_gap_high": high,
            "cls_acc": coloured, "cls_acc_truth": truth, "cls_acc_grey": grey}


def known_by_photograph(rows: Iterable[SetRow], judge: Any) -> dict[str, np.ndarray]:
    """Of each photograph, how many pictures are asked about, and how many the judge knows coloured, true and grey."""
    if judge is None:
        return {}
    method, model = judge
    if not hasattr(method, "knows"):
        raise UserError(f"The judge of colorization does not say which classes it knows; name a run of "
                        f"classical_classifier under `judge:` in its runs.yaml (it is of {type(method).__name__}).")
    sets = method.knows(model)
    known: dict[str, np.ndarray] = {}
    for row in rows:
        label = PurePosixPath(str(row.record.facts.get("name", ""))).parent.name
        classes = next((classes for classes in sets.values() if label in classes), None)
        if classes is None:
            continue
        lightness, ab = row.record.arrays["L"], row.output["ab"]
        shown = (to_rgb8(lightness, ab), row.target["rgb"], to_rgb8(lightness, np.zeros_like(ab)))
        right = [classes[answer(judge, picture, classes)] == label for picture in shown]
        photograph = str(row.record.facts.get("group") or row.record.id)
        known[photograph] = known.get(photograph, 0) + np.array([1, *right])
    return known


def answer(judge: Any, picture: np.ndarray, classes: list[str]) -> int:
    """The number of the class that a run of classification (method and model) takes an H x W x 3 uint8 picture for."""
    from restore_ml.restoring.harness import restore

    method, model = judge
    return int(restore(method, model, {"image": picture, "classes": names(classes)}, 1)["label"])
