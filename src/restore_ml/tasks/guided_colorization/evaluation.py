"""Guided colorization: the figures of colorization, and whether the hints were followed."""

from __future__ import annotations

from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.degradations.colour import to_rgb8
from restore_ml.metrics.colour import ab_distance
from restore_ml.tasks.colorization.evaluation import OF_SAMPLES, Colorization
from restore_ml.tasks.protocol import Metric


class GuidedColorization(Colorization):
    """Ten hints rank; the case without hints is plain colorization."""

    task = "guided_colorization"
    metrics = (*(metric for metric in Colorization.metrics  # type: ignore[assignment]
                 if not metric.name.startswith("raw_") and metric not in OF_SAMPLES), Metric("hint_error", -1, 2))
    primary_degradation = "hints_10"
    baselines = ("nearest_hint", "colorization.gray_ab0")

    def measure(self, inputs: Arrays, output: Arrays, target: Arrays, context: Any) -> dict[str, float]:
        """`hint_error`: the mean ab distance of the output from the hints where they are given (NaN without any)."""
        there = inputs["hinted"][..., 0] > 0
        distance = ab_distance(output["ab"], inputs["hint"])[there]
        return {**super().measure(inputs, output, target, context),
                "hint_error": float(distance.mean()) if there.any() else float("nan")}

    def show(self, inputs: Arrays, output: Arrays | None, target: Arrays) -> dict[str, Any]:
        """The grey picture with the hints on it, the joined picture, the truth."""
        pictures = super().show(inputs, output, target)
        return {**pictures, "input": to_rgb8(inputs["L"], np.asarray(inputs["hint"] * inputs["hinted"]))}


PROTOCOL = GuidedColorization()
