"""Inpainting: fidelity of the composed 8-bit output, over the hole and over the whole picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.metrics.edges import edge_precision_recall
from restore_ml.metrics.fidelity import (
    l1_percent,
    mae_edgeconnect,
    psnr,
    ssim_edgeconnect,
    ssim_map,
    ssim_of_map,
    ssim_pen_net,
)
from restore_ml.metrics.hole import (
    l1_hole,
    l2_hole,
    mean_inside,
    mean_of_known,
    missing,
    psnr_hole,
    seam_error,
    spread_hole,
)
from restore_ml.tasks.base import Sample
from restore_ml.tasks.protocol import Canary, Guard, Metric, Protocol, as_rgb, capped

HOLE = 200
"""Grey level in which holes are shown."""


class Inpainting(Protocol):
    """Hole metrics rank (the known pixels are the input's); whole-picture figures and those by which published tables
    of EdgeConnect, PEN-Net and Context Encoders were made beside."""

    task = "inpainting"
    metrics = (Metric("psnr_hole", 1, 2, "dB"), Metric("ssim_hole", 1, 4), Metric("l1_hole", -1, 3, "%"),
               Metric("l2_hole", -1, 3, "%"), Metric("spread", 0, 3), Metric("psnr", 1, 2, "dB"), Metric("ssim", 1, 4),
               Metric("l1", -1, 3, "%"), Metric("seam", -1, 2, "levels"), Metric("ssim_edgeconnect", 1, 4),
               Metric("mae_edgeconnect", -1, 4), Metric("ssim_pen_net", 1, 4), Metric("edge_precision", 1, 3),
               Metric("edge_recall", 1, 3), Metric("accepted", 0, 2))
    primary = "psnr_hole"
    primary_set = "photos"
    primary_degradation = "irregular_3"
    perceptual = True
    baselines = ("telea", "navier_stokes", "mean_fill")
    guards = (Guard("ssim_hole", margin=0.005), Guard("l1_hole", margin=0.1))
    minimum_gain = 0.05
    reading = ("Missing pixels are shown in light grey, a watermark as it is. spread says how much the filled values "
               "vary against the true ones: below 1 texture was smoothed away, above 1 there is too much of it. "
               "accepted is the share of the missing pixels whose filling the method itself takes for real, as step S5 "
               "of the patent behind edge_tv_patent does; none is withheld for it. Edges are compared on the case that "
               "ranks alone.")

    def measure(self, inputs: Arrays, output: Arrays, target: Arrays, context: Any) -> dict[str, float]:
        """All metrics; the SSIM of EdgeConnect and PEN-Net only where its window of 51 pixels fits, `accepted` of who
        says it."""
        restored, truth, mask = as_rgb(output["image"]), as_rgb(target["image"]), inputs["mask"]
        similar = ssim_map(restored, truth)
        some = {"accepted": mean_inside(output["accepted"], mask)} if "accepted" in output else {}
        if min(truth.shape[:2]) >= 51:
            some |= {"ssim_edgeconnect": ssim_edgeconnect(restored, truth),
                     "ssim_pen_net": ssim_pen_net(restored, truth)}
        return {"psnr_hole": capped(psnr_hole(restored, truth, mask)), "ssim_hole": mean_inside(similar, mask),
                "l1_hole": l1_hole(restored, truth, mask), "l2_hole": l2_hole(restored, truth, mask),
                "spread": spread_hole(restored, truth, mask), "psnr": capped(psnr(restored, truth)),
                "ssim": ssim_of_map(similar), "l1": l1_percent(restored, truth),
                "seam": seam_error(restored, truth, mask), "mae_edgeconnect": mae_edgeconnect(restored, truth), **some}

    def measure_on_primary(self, inputs: Arrays, output: Arrays, target: Arrays) -> dict[str, float]:
        """How well the edges go on in the hole."""
        precision, recall = edge_precision_recall(as_rgb(output["image"]), as_rgb(target["image"]), inputs["mask"])
        return {"edge_precision": precision, "edge_recall": recall}

    def canary(self) -> Canary:
        """See `Canary`."""
        return Canary("image", "image", 0.0, 255.0, shift=64.0, floor=32.0, settings={"size": 0})

    def trivial(self, sample: Sample) -> np.ndarray:
        """The mean of the known pixels."""
        return mean_of_known(sample.target["image"], sample.inputs["mask"])

    def show(self, inputs: Arrays, output: Arrays | None, target: Arrays) -> Arrays:
        """Holes in light grey; a watermark, which is observed, as it is."""
        image, hole = as_rgb(inputs["image"]), missing(inputs["mask"])
        emptied = not image[hole].any()
        seen = np.where(hole[..., None], np.uint8(HOLE), image) if emptied else image
        pictures = {"input": seen, "truth": as_rgb(target["image"])}
        return pictures if output is None else {**pictures, "output": as_rgb(output["image"])}


PROTOCOL = Inpainting()
