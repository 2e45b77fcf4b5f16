"""Colorization: ab against the truth, and the picture that the input's lightness and the ab give.

The ab output is joined to the untouched L; colours outside sRGB are brought in with L and hue kept. Methods that give
RGB are scored the same way on their ab (the columns without prefix, `lfix`), and as they came in the `raw_` columns, so
that nobody loses PSNR through a drift of lightness alone. Of a method that samples the first result is scored as any
other's; what its results say together stands in columns of their own, to be read as a pair: how near the best of them
comes (`eob_8`) and how far they lie apart (`var_8`, `lpips_pairs`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.degradations.colour import rgb_to_lab, to_rgb8
from restore_ml.metrics.colour import (
    ab_distance,
    ab_prior,
    auc,
    auc_balanced,
    chroma_ratio,
    colorfulness,
    error_of_best,
    psnr_ab,
    rmse_ab,
    variance_of_samples,
)
from restore_ml.metrics.fidelity import psnr, ssim
from restore_ml.metrics.perceptual import PAIRS
from restore_ml.tasks.base import Sample
from restore_ml.tasks.colorization.class_gap import FIGURES, class_gap
from restore_ml.tasks.panels import Panel
from restore_ml.tasks.protocol import Canary, Guard, Metric, Protocol, SetRow, capped

OF_SAMPLES = (Metric("eob_8", -1, 2), Metric("var_8", 0, 1), Metric(PAIRS, 0, 4))
"""What only a method with several results of a picture has."""
SHOWN = 3
"""Of the drawn results."""


class Colorization(Protocol):
    """reading: no figure of the literature ranks alone (PSNR and raw AuC reward grey); we rank by PSNR on ab and refuse
    champions that are desaturated (`chroma_ratio`: half of the pictures have less than half of their chroma, as those
    of a regression have, or more than twice of it) or worse on rare colours (`auc_balanced`).
    """

    task = "colorization"
    metrics = (Metric("psnr_ab", 1, 2, "dB"), Metric("rmse_ab", -1, 2), Metric("psnr_rgb", 1, 2, "dB"),
               Metric("ssim", 1, 4), Metric("auc", 1, 4), Metric("auc_balanced", 1, 4), Metric("chroma_ratio", 0, 3),
               Metric("colorfulness", 0, 2), Metric("colorfulness_delta", -1, 2), Metric("l_error_8bit", -1, 3),
               Metric("l_error_8bit_unmapped", -1, 3), Metric("raw_psnr_rgb", 1, 2, "dB"), Metric("raw_ssim", 1, 4),
               *OF_SAMPLES)
    primary = "psnr_ab"
    perceptual = True
    shrinks_in_blind_test = True
    primary_set = "photos"
    primary_degradation = "lab_grey"
    baselines = ("gray_ab0", "mean_ab")
    guards = (Guard("chroma_ratio", least=0.5, most=2.0, middle=True), Guard("auc_balanced", margin=0.01))
    minimum_gain = 0.05
    set_metrics = FIGURES

    def context(self, targets: Iterable[Arrays]) -> Any:
        """Frequencies of the true ab classes over the case (the prior of the balanced AuC)."""
        return ab_prior(target["ab"] for target in targets)

    def measure_set(self, rows: Iterable[SetRow], context: Any, judge: Any) -> dict[str, float]:
        """See `restore_ml.tasks.colorization.class_gap`."""
        return class_gap(rows, judge)

    def measure(self, inputs: Arrays, output: Arrays, target: Arrays, context: Any) -> dict[str, float]:
        """ab metrics on the ab as predicted; RGB metrics on the joined 8-bit picture; `l_error_8bit` is the largest
        |L of that picture - L of the input|, with the gamut mapping and (`_unmapped`) with plain clipping. `eob_8` is
        the least rmse_ab of the drawn results, `var_8` their variance, a mean over pixels and channels."""
        lightness, ab, true_ab, truth = inputs["L"], output["ab"], target["ab"], target["rgb"]
        mapped, clipped = to_rgb8(lightness, ab, "chroma"), to_rgb8(lightness, ab, "clip")
        own = colorfulness(mapped)
        values = {"psnr_ab": capped(psnr_ab(ab, true_ab)), "rmse_ab": rmse_ab(ab, true_ab),
                  "psnr_rgb": capped(psnr(mapped, truth)), "ssim": ssim(mapped, truth),
                  "auc": auc(ab_distance(ab, true_ab)), "auc_balanced": auc_balanced(ab, true_ab, context),
                  "chroma_ratio": chroma_ratio(ab, true_ab), "colorfulness": own,
                  "colorfulness_delta": abs(own - colorfulness(truth)), "l_error_8bit": _drift(mapped, lightness),
                  "l_error_8bit_unmapped": _drift(clipped, lightness)}
        if "rgb" in output:
            values |= {"raw_psnr_rgb": capped(psnr(output["rgb"], truth)), "raw_ssim": ssim(output["rgb"], truth)}
        if "drawn" in output:
            results = _results(output)
            values |= {"eob_8": error_of_best(results, true_ab), "var_8": variance_of_samples(results)}
        return values

    def drawn(self, inputs: Arrays, output: Arrays) -> list[np.ndarray]:
        """Each of the drawn results, joined to the lightness."""
        return [to_rgb8(inputs["L"], ab) for ab in _results(output)] if "drawn" in output else []

    def canary(self) -> Canary:
        """See `Canary`."""
        return Canary("ab", "ab", -128.0, 128.0, shift=40.0, floor=35.0, settings={"size": 0}, may_be_constant=True)

    def trivial(self, sample: Sample) -> np.ndarray:
        """No colour."""
        return np.zeros_like(sample.target["ab"])

    def show(self, inputs: Arrays, output: Arrays | None, target: Arrays) -> dict[str, Any]:
        """The grey picture of that lightness, the joined picture (with the next of those that were drawn), the truth.
        """
        lightness = inputs["L"]
        pictures = {"input": to_rgb8(lightness, np.zeros((*lightness.shape[:2], 2))), "truth": target["rgb"]}
        if output is None:
            return pictures
        seen = to_rgb8(lightness, output["ab"])
        if "drawn" not in output:
            return {**pictures, "output": seen}
        others = [to_rgb8(lightness, ab) for ab in _results(output)[1:SHOWN]]
        return {**pictures, "output": Panel(seen, others=others)}


def _results(output: Arrays) -> list[np.ndarray]:
    """The drawn ab maps, H x W x 2 each; `ValueError` where the first is not the result."""
    drawn = output["drawn"]
    results = [drawn[..., place:place + 2] for place in range(0, drawn.shape[-1], 2)]
    if not np.array_equal(results[0], output["ab"]):
        raise ValueError("the first of the drawn results is not the output 'ab'")
    return results


def _drift(picture: np.ndarray, lightness: np.ndarray) -> float:
    return float(np.abs(rgb_to_lab(picture)[..., 0] - lightness[..., 0]).max())


PROTOCOL = Colorization()
