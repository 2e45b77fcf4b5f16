"""Restoration: fidelity of the whole 8-bit output."""

from __future__ import annotations

from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.metrics.fidelity import l1_percent, luma, psnr, ssim, ssim_map, ssim_of_map
from restore_ml.metrics.without_truth import grain
from restore_ml.tasks.base import Sample
from restore_ml.tasks.protocol import Canary, Guard, Metric, Protocol, as_rgb, capped


class Restoration(Protocol):
    """Everything is restored, so everything is measured. The primary case is the one that holds most of the others:
    old photographs are blurred, noisy, compressed, faded and scratched."""

    task = "restoration"
    metrics = (Metric("psnr", 1, 2, "dB"), Metric("ssim", 1, 4), Metric("l1", -1, 3, "%"), Metric("psnr_y", 1, 2, "dB"),
               Metric("ssim_y", 1, 4))
    primary = "psnr"
    primary_set = "photos"
    primary_degradation = "old_photo"
    perceptual = True
    baselines = ("identity",)
    figures_without_truth = (Metric("grain", 0, 2, "levels"),)
    guards = (Guard("ssim", margin=0.005), Guard("l1", margin=0.1))
    minimum_gain = 0.05
    reading = ("psnr_y and ssim_y are of luma alone, by which the published tables of rain are made. A network is "
               "tested on the kinds of damage that it learned from.")

    def measure(self, inputs: Arrays, output: Arrays, target: Arrays, context: Any) -> dict[str, float]:
        """On RGB of the whole picture, nothing shaved; and on luma, by which the tables of rain are made."""
        restored, truth = as_rgb(output["image"]), as_rgb(target["image"])
        bright, true = luma(restored), luma(truth)
        return {"psnr": capped(psnr(restored, truth)), "ssim": ssim_of_map(ssim_map(restored, truth)),
                "l1": l1_percent(restored, truth), "psnr_y": capped(psnr(bright, true)), "ssim_y": ssim(bright, true)}

    def measure_without_truth(self, inputs: Arrays, output: Arrays) -> dict[str, float]:
        """The noise that is left."""
        return {"grain": grain(output["image"])}

    def canary(self) -> Canary:
        """A faded picture may be up to 64 levels off, and a sane restoration of it not much more."""
        return Canary("image", "image", 0.0, 255.0, shift=96.0, floor=32.0, settings={"size": 0})

    def trivial(self, sample: Sample) -> np.ndarray:
        """The damaged picture."""
        return sample.inputs["image"]

    def show(self, inputs: Arrays, output: Arrays | None, target: Arrays) -> Arrays:
        """All three as they are."""
        pictures = {"input": as_rgb(inputs["image"])}
        if target:
            pictures["truth"] = as_rgb(target["image"])
        return pictures if output is None else {**pictures, "output": as_rgb(output["image"])}


PROTOCOL = Restoration()
