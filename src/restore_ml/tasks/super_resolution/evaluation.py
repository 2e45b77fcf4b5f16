"""Super-resolution: PSNR and SSIM on BT.601 luma of 8-bit pictures, a border of `scale` pixels shaved.

IFC (`ifc_freq`) is measured on the same luma; FSIM in its luma form (full swing), which costs more than all others
together, on the primary case alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.degradations.resize import imresize
from restore_ml.metrics.fidelity import luma, ms_ssim, psnr, shaved, ssim
from restore_ml.metrics.fsim import fsim, grey
from restore_ml.metrics.ifc import ifc_freq, least_side
from restore_ml.tasks.base import Sample
from restore_ml.tasks.protocol import Canary, Guard, Metric, Protocol, as_rgb, capped


class SuperResolution(Protocol):
    """The protocol of the benchmark tables (Set5, Set14 ...), with RGB PSNR and MS-SSIM beside it."""

    task = "super_resolution"
    metrics = (Metric("psnr_y", 1, 2, "dB"), Metric("ssim_y", 1, 4), Metric("psnr_rgb", 1, 2, "dB"),
               Metric("ms_ssim_rgb", 1, 4), Metric("ifc_freq", 1, 4), Metric("fsim", 1, 4))
    primary = "psnr_y"
    primary_set = "photos"
    primary_degradation = "x2"
    perceptual = True
    baselines = ("bicubic",)
    guards = (Guard("ssim_y", margin=0.002),)
    minimum_gain = 0.02

    def measure(self, inputs: Arrays, output: Arrays, target: Arrays, context: Any) -> dict[str, float]:
        """PSNR and SSIM on Y, PSNR on RGB, MS-SSIM on RGB (NaN below 161 pixels), IFC on Y (NaN below 96 pixels); all
        on the shaved picture."""
        border = int(inputs["scale"])
        inner, inner_truth = shaved(as_rgb(output["sr"]), border), shaved(as_rgb(target["hr"]), border)
        y, y_truth = _luma(inner, inner_truth)
        side = min(inner.shape[:2])
        return {"psnr_y": capped(psnr(y, y_truth)), "ssim_y": ssim(y, y_truth),
                "psnr_rgb": capped(psnr(inner, inner_truth)),
                "ms_ssim_rgb": ms_ssim(inner, inner_truth) if side >= 161 else float("nan"),
                "ifc_freq": ifc_freq(y_truth, y) if side >= least_side(4) else float("nan")}

    def measure_on_primary(self, inputs: Arrays, output: Arrays, target: Arrays) -> dict[str, float]:
        """FSIM on full-swing luma of the shaved picture."""
        border = int(inputs["scale"])
        return {"fsim": fsim(*(grey(shaved(as_rgb(picture), border)) for picture in (output["sr"], target["hr"])))}

    def canary(self) -> Canary:
        """See `Canary`."""
        return Canary("sr", "hr", 0.0, 255.0, shift=8.0, floor=6.0)

    def trivial(self, sample: Sample) -> np.ndarray:
        """Bicubic."""
        return imresize(sample.inputs["lr"], output_size=sample.target["hr"].shape[:2])

    def show(self, inputs: Arrays, output: Arrays | None, target: Arrays) -> Arrays:
        """The low-resolution picture enlarged by repeating pixels, so that all have the truth's size."""
        scale = int(inputs["scale"])
        enlarged = np.repeat(np.repeat(as_rgb(inputs["lr"]), scale, axis=0), scale, axis=1)
        pictures = {"input": enlarged, "truth": as_rgb(target["hr"])}
        return pictures if output is None else {**pictures, "output": as_rgb(output["sr"])}


def _luma(restored: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Studio-swing luma of both, not rounded; a grey picture is its own luma. Published rows of Set14 take luma of its
    grey picture too, which reads higher (`restore_ml.evaluation.published.APART`)."""
    if (truth == truth[:, :, :1]).all():
        return restored.mean(axis=2), truth[:, :, 0].astype(np.float64)
    return luma(restored), luma(truth)


PROTOCOL = SuperResolution()
