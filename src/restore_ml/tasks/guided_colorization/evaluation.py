"""Guided colorization: the figures of colorization, and whether hints and palettes were followed."""

from __future__ import annotations

from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.degradations.colour import to_rgb8
from restore_ml.metrics.colour import ab_distance, psnr_ab
from restore_ml.seeds import generator
from restore_ml.tasks.colorization.evaluation import OF_SAMPLES, Colorization
from restore_ml.tasks.guided_colorization.palette import COLOURS, palette
from restore_ml.tasks.panels import Panel, hinted
from restore_ml.tasks.protocol import Metric, capped

NOT_GIVEN = float("nan")


class GuidedColorization(Colorization):
    """Ten hints rank; the case without hints is plain colorization."""

    task = "guided_colorization"
    metrics = (*(metric for metric in Colorization.metrics  # type: ignore[assignment]
                 if not metric.name.startswith("raw_") and metric not in OF_SAMPLES), Metric("hint_error", -1, 2),
               Metric("psnr_nohint", 1, 2, "dB"), Metric("palette_fidelity", -1, 2))
    primary_degradation = "hints_10"
    baselines = ("nearest_hint", "colorization.gray_ab0")

    def measure(self, inputs: Arrays, output: Arrays, target: Arrays, context: Any) -> dict[str, float]:
        """`hint_error`: the mean ab distance of the output from the hints where they are given (NaN without any).
        `psnr_nohint`: psnr_ab over the other pixels (NaN where there are none). `palette_fidelity`: how far, on
        average, a colour of the palette is in ab from the nearest of the output's own palette, drawn as the
        simulator draws those of the truth; a run that is not given the palette has the figure too."""
        there = inputs["hinted"][..., 0] > 0
        distance = ab_distance(output["ab"], inputs["hint"])[there]
        rest = psnr_ab(output["ab"][~there], target["ab"][~there]) if not there.all() else NOT_GIVEN
        return {**super().measure(inputs, output, target, context),
                "hint_error": float(distance.mean()) if there.any() else NOT_GIVEN, "psnr_nohint": capped(rest),
                "palette_fidelity": palette_distance(inputs["palette"], inputs["L"], output["ab"])
                if "palette" in inputs else NOT_GIVEN}

    def show(self, inputs: Arrays, output: Arrays | None, target: Arrays) -> dict[str, Any]:
        """The grey picture, the same with the hints on it where some are given, the reference, the joined picture, the
        truth."""
        pictures, there = super().show(inputs, output, target), inputs["hinted"]
        given: dict[str, Any] = {"reference": inputs["reference"]} if "reference" in inputs else {}
        if there.any():
            drawn = hinted(pictures["input"], to_rgb8(inputs["L"], np.asarray(inputs["hint"] * there)), there)
            given = {"hints": Panel(drawn, annotated=True), **given}
        return {**pictures, **given}


def palette_distance(wanted: np.ndarray, lightness: np.ndarray, ab: np.ndarray) -> float:
    """The mean over the colours of the palette `wanted` of the distance in ab to the nearest colour of the palette of
    the picture `lightness`, `ab`."""
    made = palette(lightness, ab, generator("palette_fidelity")).reshape(COLOURS, 3)[:, 1:].astype(np.float64)
    apart = np.linalg.norm(wanted.reshape(COLOURS, 3)[:, None, 1:] - made[None], axis=2)
    return float(apart.min(1).mean())


PROTOCOL = GuidedColorization()
