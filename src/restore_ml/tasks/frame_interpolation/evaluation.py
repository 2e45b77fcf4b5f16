"""Frame interpolation: PSNR of 8-bit RGB without a border, SSIM, and the interpolation error of the optical-flow
benchmark (Baker et al., IJCV 2011)."""

from __future__ import annotations

from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.metrics.fidelity import luma, mse, psnr, ssim
from restore_ml.tasks.base import Sample
from restore_ml.tasks.panels import Panel
from restore_ml.tasks.protocol import Canary, Guard, Metric, Protocol, capped


class FrameInterpolation(Protocol):
    """The moved photographs rank: each is a clip of its own. The films stand beside them."""

    task = "frame_interpolation"
    metrics = (Metric("psnr", 1, 2, "dB"), Metric("ssim_y", 1, 4), Metric("ie", -1, 2, "levels"))
    primary = "psnr"
    primary_set = "clips_moved"
    primary_degradation = "gap_2"
    perceptual = True
    baselines = ("frame_blend", "frame_repeat")
    guards = (Guard("ssim_y", margin=0.005),)
    minimum_gain = 0.05

    def measure(self, inputs: Arrays, output: Arrays, target: Arrays, context: Any) -> dict[str, float]:
        """`ie`: root mean square difference over pixels and channels, in grey levels."""
        frame, truth = output["frame"], target["truth"]
        return {"psnr": capped(psnr(frame, truth)), "ssim_y": ssim(luma(frame), luma(truth)),
                "ie": float(np.sqrt(mse(frame, truth)))}

    def canary(self) -> Canary:
        """See `Canary`."""
        return Canary("frame", "truth", 0.0, 255.0, shift=8.0, floor=6.0, settings={"gaps": [2]})

    def trivial(self, sample: Sample) -> np.ndarray:
        """The mean of both frames."""
        return _mean(sample.inputs)

    def show(self, inputs: Arrays, output: Arrays | None, target: Arrays) -> dict[str, Any]:
        """Clips of three frames: the one before, the one in the middle, the one after. That in the middle of the input
        is both over each other."""
        between = {"input": _mean(inputs), "truth": target["truth"]} | ({} if output is None else {
            "output": output["frame"]})
        return {name: Panel(np.stack([inputs["before"], frame, inputs["after"]])) for name, frame in between.items()}


def _mean(inputs: Arrays) -> np.ndarray:
    return np.rint((inputs["before"].astype(np.float64) + inputs["after"]) / 2).astype(np.uint8)


PROTOCOL = FrameInterpolation()
