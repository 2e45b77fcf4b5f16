"""Template matching: the mean picture of each class in several sizes, found by normalised cross-correlation.

A classical detector (Lewis, "Fast normalized cross-correlation", Vision Interface 1995, as scikit-image has it) with
non-maximum suppression; the floor of detection. Its score is made so that the best threshold on the training pictures
is the one that the task asks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.method import Method, Model
from restore_ml.metrics.boxes import Detections, f1
from restore_ml.nn.boxes import suppressed
from restore_ml.tasks.detection.task import CLASSES, THRESHOLD
from restore_ml.tasks.squares import grey_square

if TYPE_CHECKING:
    from restore_ml.tasks.base import Material

LEAST = 0.2
"""The least correlation that is looked at."""
MOST_BOXES = 400
TRIED = 24
"""Training pictures on which the threshold is chosen."""


class TemplateMatching(Method):
    """`sizes`: templates a class, of boxes of equally many objects each. `margin`: pixels around a box that belong to
    its template, as a share of its side. `overlap`: more than so much of another box suppresses the weaker one.
    """

    task = "detection"
    reading = "templates are the mean of the training objects"
    paper: ClassVar[dict[str, Any]] = {"sizes": 5, "margin": 0.25, "overlap": 0.45}

    def prepare(self, material: Material, seed: int) -> Arrays:
        """`template_<class>_<number>` (side x side float32) with `side_<class>_<number>` (of the box in it, 1
        float32), and `threshold` (1), the correlation that answers the most training objects rightly."""
        records = [record for record in material.records if len(record.arrays["boxes"])]
        if not records:
            raise UserError("There is no outlined object in the training fields, so there is nothing to match; add "
                            "some with `restore-ml data add --domain nuclei`.")
        arrays = dict(self._templates(records))
        model = Model(arrays=arrays)
        scores: list[np.ndarray] = []
        right: list[np.ndarray] = []
        true = 0
        for record in records[::max(1, len(records) // TRIED)]:
            boxes, labels, found = self.candidates(model, record.arrays["image"])
            seen = Detections(boxes, labels, found, record.arrays["boxes"], np.zeros(len(record.arrays["boxes"])))
            scores.append(found)
            right.append(seen.assigned() >= 0)
            true += len(record.arrays["boxes"])
        best = best_threshold(np.concatenate(scores), np.concatenate(right), true)
        return arrays | {"threshold": np.array([best], np.float32)}

    def _templates(self, records: list[Record]) -> Iterator[tuple[str, np.ndarray]]:
        objects = [(number, box) for number, record in enumerate(records) for box in record.arrays["boxes"]]
        sides = np.array([np.sqrt((right - left) * (bottom - top)) for _, (left, top, right, bottom) in objects])
        order = np.argsort(sides, kind="stable")
        for number, members in enumerate(np.array_split(order, min(self.settings["sizes"], len(order)))):
            box = float(np.median(sides[members]))
            side = max(3, round(box * (1 + 2 * self.settings["margin"])))
            windows = [window for place in members
                       if (window := self._window(records[objects[place][0]], objects[place][1])) is not None]
            if windows:
                total = np.sum([grey_square(window, side) for window in windows], axis=0, dtype=np.int64)
                yield f"template_0_{number}", np.asarray(total / len(windows), np.float32)
                yield f"side_0_{number}", np.array([box], np.float32)

    def _window(self, record: Record, box: np.ndarray) -> np.ndarray | None:
        """An object with its margin; None where that is not whole in the picture."""
        image = np.broadcast_to(record.arrays["image"], (*record.arrays["image"].shape[:2], 3))
        more = self.settings["margin"] * (box[2:] - box[:2])
        left, top, right, bottom = (round(float(edge)) for edge in (*(box[:2] - more), *(box[2:] + more)))
        whole = min(left, top) >= 0 and right <= image.shape[1] and bottom <= image.shape[0]
        return image[top:bottom, left:right] if whole else None

    def candidates(self, model: Model, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes (N x 4 float32), labels and correlations (N) of the peaks of all templates that stay, best first."""
        from skimage.feature import match_template, peak_local_max

        shown = np.broadcast_to(picture, (*picture.shape[:2], 3))
        grey = grey_of(shown)
        boxes, labels, scores = [], [], []
        for label in range(len(CLASSES)):
            own_boxes, own_scores = [np.zeros((0, 4))], [np.zeros(0)]
            for name in sorted(name for name in model.arrays if name.startswith(f"template_{label}_")):
                template = model.arrays[name]
                if min(grey.shape) < len(template):
                    continue
                map_ = match_template(grey, template.astype(np.float64), pad_input=True, mode="edge")
                peaks = peak_local_max(map_, min_distance=1, threshold_abs=LEAST, exclude_border=False)
                half = float(model.arrays[name.replace("template", "side")][0]) / 2
                centre = peaks[:, ::-1] + (0.5 if len(template) % 2 else 0.0)
                own_boxes.append(np.hstack([centre - half, centre + half]))
                own_scores.append(map_[peaks[:, 0], peaks[:, 1]])
            found, values = np.concatenate(own_boxes).astype(np.float32), np.concatenate(own_scores)
            stay = suppressed(found, values, self.settings["overlap"], MOST_BOXES)
            boxes.append(found[stay])
            labels.append(np.full(len(stay), label, np.float32))
            scores.append(values[stay])
        return np.concatenate(boxes), np.concatenate(labels), np.concatenate(scores)

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`boxes`, `labels` and `scores`; one row of zeros where nothing is like a template."""
        boxes, labels, found = self.candidates(model, inputs["image"])
        if not len(boxes):
            boxes, labels, found = np.zeros((1, 4), np.float32), np.zeros(1, np.float32), np.zeros(1)
        scores = rescaled(found, float(model.arrays["threshold"][0]))
        return {"boxes": boxes, "labels": labels, "scores": scores.astype(np.float32)}


def grey_of(picture: np.ndarray) -> np.ndarray:
    """The luma of H x W x 3 uint8 as H x W float64."""
    import cv2

    return cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY).astype(np.float64)


def best_threshold(scores: np.ndarray, right: np.ndarray, count: int) -> float:
    """The score from which on answers have the largest F1; `right` says which found boxes are true ones, `count` how
    many of these there are. 0.5 where nothing is right."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    values = [f1(int(hit), number + 1, count) for number, hit in enumerate(hits)]
    best = int(np.argmax(values)) if values else 0
    return float(scores[order][best]) if values and hits[best] else 0.5


def rescaled(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Correlations with `threshold` moved to THRESHOLD, 0 and 1 kept, in straight lines between."""
    return np.interp(scores, [0.0, threshold, 1.0], [0.0, THRESHOLD, 1.0])


METHOD = TemplateMatching
