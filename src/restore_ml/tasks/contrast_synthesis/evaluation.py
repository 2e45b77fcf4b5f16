"""Contrast synthesis: fidelity of the contrasts that were made, in the brain, in its lesion and over the whole slice.

Everything is measured on 8-bit contrasts, a figure a wanted contrast, and averaged over these. The brain is where any
contrast of the patient is not 0: all of the head where the skull is not taken away. `dice_lesion` is of all
contrasts together: how well a segmenter finds the lesion in the given and the made ones; `dice_lesion_true` is the same
of the true ones, for comparison. Source: the method cards, 1.2, 1.11 and 2.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.metrics.fidelity import decibel, psnr, ssim
from restore_ml.tasks.base import Sample
from restore_ml.tasks.contrast_synthesis import lesions
from restore_ml.tasks.protocol import Canary, Guard, Metric, Protocol, SetRow, capped

HATCH = 8
"""Pixels between the lines over a contrast that is not given, as it is shown."""


class ContrastSynthesis(Protocol):
    """The drawn patients rank, as each is a person of its own and has a lesion. The average brain stands beside."""

    task = "contrast_synthesis"
    metrics = (Metric("psnr_brain", 1, 2, "dB"), Metric("ssim", 1, 4), Metric("nmae", -1, 4),
               Metric("psnr_lesion", 1, 2, "dB"), Metric("dice_lesion", 1, 4), Metric("psnr", 1, 2, "dB"))
    set_metrics = (Metric("dice_lesion_true", 0, 4),)
    primary = "psnr_brain"
    primary_set = "brains_phantom"
    primary_degradation = "missing_flair"
    baselines = ("nearest_contrast",)
    guards = (Guard("ssim", margin=0.01), Guard("psnr_lesion", margin=0.5))
    minimum_gain = 0.05

    def context(self, targets: Iterable[Arrays]) -> lesions.Segmenter | None:
        """The segmenter of the case."""
        return lesions.fitted(targets)

    def measure(self, inputs: Arrays, output: Arrays, target: Arrays, context: Any) -> dict[str, float]:
        """`nmae`: sum of |made - true| over sum of true, in the brain; the figures of lesions are NaN without one."""
        brain, lesion = target["truth"].max(axis=2) > 0, target["labels"][..., 0] > 0
        rows = [_figures(output["contrasts"][..., channel], target["truth"][..., channel], brain, lesion)
                for channel in np.flatnonzero(inputs["wanted"])]
        return {**{name: float(np.mean([row[name] for row in rows])) for name in rows[0]},
                "dice_lesion": _dice(output["contrasts"], lesion, context)}

    def measure_set(self, rows: Iterable[SetRow], context: Any, judge: Any) -> dict[str, float]:
        """`dice_lesion_true`, the mean over the slices with a lesion; nothing where there is none."""
        values = [_dice(row.target["truth"], row.target["labels"][..., 0] > 0, context) for row in rows]
        drawn = [value for value in values if not np.isnan(value)]
        return {"dice_lesion_true": float(np.mean(drawn))} if drawn else {}

    def canary(self) -> Canary:
        """See `Canary`. The "contrasts" of a photograph have nothing in common with a brain's, so that what a network
        makes of them may lie far off; the given ones, four of five channels, must be there."""
        return Canary("contrasts", "truth", 0.0, 255.0, shift=200.0, floor=90.0)

    def trivial(self, sample: Sample) -> np.ndarray:
        """The mean of the given contrasts in place of each wanted one."""
        contrasts, given, wanted = (sample.inputs[name] for name in ("contrasts", "given", "wanted"))
        mean = contrasts.sum(axis=2, dtype=np.float64, keepdims=True) / given.sum()
        return np.where(wanted > 0, np.rint(mean).astype(np.uint8), contrasts)

    def show(self, inputs: Arrays, output: Arrays | None, target: Arrays) -> Arrays:
        """The patient's contrasts in a row, grey; as input, those that are not given are hatched."""
        there = np.flatnonzero(target["there"])
        rows, columns = np.indices(target["truth"].shape[:2])
        hatched = np.where((rows + columns) % HATCH == 0, np.uint8(90), np.uint8(30))
        seen = [inputs["contrasts"][..., channel] if inputs["given"][channel] else hatched for channel in there]
        pictures = {"input": _row(seen), "truth": _row([target["truth"][..., channel] for channel in there])}
        if output is None:
            return pictures
        made = [output["contrasts"][..., channel] if inputs["given"][channel] or inputs["wanted"][channel] else hatched
                for channel in there]
        return {**pictures, "output": _row(made)}


def _figures(made: np.ndarray, truth: np.ndarray, brain: np.ndarray, lesion: np.ndarray) -> dict[str, float]:
    """The metrics of one contrast, H x W uint8."""
    error = made.astype(np.float64) - truth
    return {"psnr_brain": _inside(error, brain), "ssim": ssim(made, truth),
            "nmae": float(np.abs(error[brain]).sum() / max(int(truth[brain].sum(dtype=np.int64)), 1)),
            "psnr_lesion": _inside(error, lesion), "psnr": capped(psnr(made, truth))}


def _dice(contrasts: np.ndarray, lesion: np.ndarray, segmenter: lesions.Segmenter | None) -> float:
    """Dice of what the segmenter finds; NaN without a lesion or a segmenter."""
    if segmenter is None or not lesion.any():
        return float("nan")
    return lesions.dice(segmenter(contrasts), lesion)


def _inside(error: np.ndarray, region: np.ndarray) -> float:
    """PSNR over the region; NaN where it is empty."""
    return capped(decibel(float(np.square(error[region]).mean()), 255.0)) if region.any() else float("nan")


def _row(planes: list[np.ndarray]) -> np.ndarray:
    """H x W planes beside each other, H x (number W) x 3."""
    return np.repeat(np.concatenate(planes, axis=1)[..., None], 3, axis=2)


PROTOCOL = ContrastSynthesis()
