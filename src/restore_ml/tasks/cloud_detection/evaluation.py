"""Cloud detection: how much of the clouds is found, and how much of what is found is cloud."""

from __future__ import annotations

from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.data.bands import names_of
from restore_ml.metrics.segmentation import iou, precision, recall
from restore_ml.tasks.base import Sample
from restore_ml.tasks.cloud_detection.task import CLOUD, NOTHING, SHADOW
from restore_ml.tasks.false_color import false_color_composite, stretched
from restore_ml.tasks.panels import outlined
from restore_ml.tasks.protocol import Canary, Guard, Metric, Protocol

UNDEFINED = float("nan")


class CloudDetection(Protocol):
    """Intersection over union of the cloud's pixels ranks; shadows stand beside it."""

    task = "cloud_detection"
    metrics = (Metric("iou", 1, 4), Metric("precision", 1, 4), Metric("recall", 1, 4), Metric("shadow_iou", 1, 4),
               Metric("hidden_iou", 1, 4))
    primary = "iou"
    primary_set = "scenes"
    primary_degradation = "thick_20_shadow"
    baselines = ("bright_pixels",)
    guards = (Guard("precision", margin=0.05), Guard("recall", margin=0.05))
    minimum_gain = 0.005
    reading = ("Clouds are simulated, so that their place is known: a pixel counts as cloud wherever any of it was "
               "laid, its half-transparent rim of 3 pixels too. hidden_iou is of cloud and shadow together, the mask "
               "that cloud removal needs; where none was cast, shadows that are found count against it. "
               "Clouds are outlined in orange, shadows in blue, over the scene in false colour.")

    def measure(self, inputs: Arrays, output: Arrays, target: Arrays, context: Any) -> dict[str, float]:
        """`shadow_iou` is NaN where no shadow was cast, `precision` where no cloud is found. Pixels where nothing was
        measured count as hidden in neither."""
        found, truth = output["codes"][..., 0], target["codes"][..., 0]
        seen = truth != NOTHING
        found, truth = found[seen], truth[seen]
        hidden = [np.isin(codes, (CLOUD, SHADOW)) for codes in (truth, found)]
        return {"iou": iou(truth == CLOUD, found == CLOUD), "precision": precision(truth == CLOUD, found == CLOUD),
                "recall": recall(truth == CLOUD, found == CLOUD), "hidden_iou": iou(*hidden),
                "shadow_iou": iou(truth == SHADOW, found == SHADOW) if (truth == SHADOW).any() else UNDEFINED}

    def canary(self) -> Canary:
        """See `Canary`. Nobody has seen such land, and what is as white as paper in all bands passes for a cloud, so
        that a detector may find none or clouds beside the right ones (up to 3.5 levels off on the white page with
        strokes): it must give codes, and not a cloud everywhere."""
        return Canary("codes", "codes", 0.0, 255.0, shift=4.0, floor=3.6, may_be_constant=True)

    def trivial(self, sample: Sample) -> np.ndarray:
        """No cloud anywhere."""
        return np.zeros_like(sample.target["codes"])

    def show(self, inputs: Arrays, output: Arrays | None, target: Arrays) -> Arrays:
        """The scene in false colour (`restore_ml.tasks.false_color`), and outlines of clouds and shadows over it."""
        bands = inputs["target"]
        scene = false_color_composite(bands, names_of(inputs, bands.shape[2]))
        picture = stretched(scene, scene)
        pictures = {"input": picture, "truth": _drawn(picture, target["codes"])}
        return pictures if output is None else {**pictures, "output": _drawn(picture, output["codes"])}


def _drawn(picture: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Clouds outlined in the palette's first colour, shadows in its second."""
    return outlined(picture, np.where(codes == CLOUD, 1, np.where(codes == SHADOW, 2, 0)), least=1)


PROTOCOL = CloudDetection()
