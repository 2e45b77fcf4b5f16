"""Cloud removal: reflectance over the missing pixels, spectral angle and correlation, the whole scene beside."""

from __future__ import annotations

from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.data.bands import BETWEEN, WAVELENGTHS, colour, names_of
from restore_ml.metrics.fidelity import psnr, ssim_map, ssim_of_map
from restore_ml.metrics.hole import mean_inside, mean_of_known, missing, psnr_hole, seam_error
from restore_ml.metrics.spectral import correlation, psnr_of_bands, rmse, spectral_angle
from restore_ml.metrics.without_truth import seam
from restore_ml.tasks.base import Sample
from restore_ml.tasks.false_color import false_color_composite, stretched
from restore_ml.tasks.protocol import Canary, Guard, Metric, Protocol, capped

OF_BANDS = {colour(name): f"psnr_{colour(name)}" for name in (*WAVELENGTHS, *BETWEEN)}
"""By the band, the column of its own PSNR; bands that go by other names have none."""


class CloudRemoval(Protocol):
    """Peak reflectance 1; SSIM per band, averaged."""

    task = "cloud_removal"
    metrics = (Metric("psnr_hole", 1, 2, "dB"), Metric("rmse_hole", -1, 4), Metric("cc_hole", 1, 4),
               Metric("sam_hole", -1, 2, "degrees"), Metric("ssim_hole", 1, 4), Metric("psnr", 1, 2, "dB"),
               Metric("ssim", 1, 4), Metric("seam", -1, 4), *(Metric(name, 1, 2, "dB") for name in OF_BANDS.values()))
    primary = "psnr_hole"
    primary_set = "scenes"
    primary_degradation = "cloud_20"
    baselines = ("rs_direct", "rs_global_linear")
    guards = (Guard("sam_hole", margin=0.2), Guard("ssim_hole", margin=0.005))
    figures_without_truth = (Metric("seam", 0, 2),)
    minimum_gain = 0.05
    reading = ("Scenes are shown in false colour: of four bands near infrared as red, red as green and green as blue, "
               "of more the bands nearest to 2.1, 0.65 and 1.38 micrometres. Missing pixels are white. All figures but "
               "psnr, ssim and seam are of the missing pixels alone, and those named after a band of that band alone.")

    def measure(self, inputs: Arrays, output: Arrays, target: Arrays, context: Any) -> dict[str, float]:
        """All metrics in reflectance; hole metrics, those of single bands too, are NaN where nothing is missing."""
        restored, truth, mask = output["image"], target["truth"], inputs["mask"]
        similar = ssim_map(restored, truth, 1.0)
        names = map(colour, names_of(inputs, truth.shape[2]))
        bands = {OF_BANDS[name]: capped(value) for name, value in
                 zip(names, psnr_of_bands(restored, truth, mask), strict=True) if name in OF_BANDS}
        return {"psnr_hole": capped(psnr_hole(restored, truth, mask, 1.0)), "rmse_hole": rmse(restored, truth, mask),
                "cc_hole": correlation(restored, truth, mask), "sam_hole": spectral_angle(restored, truth, mask),
                "ssim_hole": mean_inside(similar, mask), "psnr": capped(psnr(restored, truth, 1.0)),
                "ssim": ssim_of_map(similar), "seam": seam_error(restored, truth, mask), **bands}

    def measure_without_truth(self, inputs: Arrays, output: Arrays) -> dict[str, float]:
        """What is seen of the rim of the filled part."""
        return {"seam": seam(output["image"], inputs["mask"])}

    def canary(self) -> Canary:
        """See `Canary`."""
        return Canary("image", "truth", -0.5, 1.5, shift=0.2, floor=0.05)

    def trivial(self, sample: Sample) -> np.ndarray:
        """The mean of the known pixels, band by band."""
        return mean_of_known(sample.target["truth"], sample.inputs["mask"])

    def show(self, inputs: Arrays, output: Arrays | None, target: Arrays) -> Arrays:
        """False colour (`restore_ml.tasks.false_color`), one stretch for all, the truth's; missing pixels white. Where
        nobody knows a truth the stretch is that of the pixels that are known, and what the sensor saw and the reference
        are shown too, the reference in a stretch of its own: it is of another season."""
        names, hole = names_of(inputs, inputs["target"].shape[2]), missing(inputs["mask"])
        like = false_color_composite(target["truth"] if target else inputs["target"][~hole][None], names)

        def shown(bands: np.ndarray) -> np.ndarray:
            return stretched(false_color_composite(bands, names), like)

        pictures = {"input": np.where(hole[..., None], np.uint8(255), shown(inputs["target"]))}
        if target:
            pictures["truth"] = shown(target["truth"])
        else:
            reference = false_color_composite(inputs["reference"], names)
            pictures |= {"seen": shown(inputs["target"]), "reference": stretched(reference, reference)}
        return pictures if output is None else {**pictures, "output": shown(output["image"])}


PROTOCOL = CloudRemoval()
