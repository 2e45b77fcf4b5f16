"""Video super-resolution: PSNR and SSIM on BT.601 luma of 8-bit frames, frame by frame, and the error of the motion.

Convention of the card (1.6): 8 pixels are shaved from each side, and the first and last three frames of a clip are left
out, so that methods that see 3, 5 or 7 frames are measured on the same ones. The figure of a clip is the mean over its
frames.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.degradations.resize import imresize
from restore_ml.metrics.fidelity import psnr_y, ssim_y
from restore_ml.metrics.temporal import flow_difference
from restore_ml.tasks.base import Sample
from restore_ml.tasks.protocol import Canary, Guard, Metric, Protocol, capped

BORDER = 8
SKIPPED = 3
"""Frames at either end of a clip: half of the longest window (7)."""


class VideoSuperResolution(Protocol):
    """The moved photographs rank: each is a clip of its own. The films stand beside them."""

    task = "video_super_resolution"
    metrics = (Metric("psnr_y", 1, 2, "dB"), Metric("ssim_y", 1, 4), Metric("tof", -1, 3, "pixels"))
    primary = "psnr_y"
    primary_set = "clips_moved"
    primary_degradation = "x4"
    perceptual = True
    baselines = ("super_resolution.bicubic",)
    guards = (Guard("ssim_y", margin=0.002), Guard("tof", margin=0.05))
    minimum_gain = 0.02

    def measure(self, inputs: Arrays, output: Arrays, target: Arrays, context: Any) -> dict[str, float]:
        """`tof`: see `flow_difference`, the mean over pairs of neighbouring frames."""
        frames, truths = (clip[SKIPPED:len(clip) - SKIPPED] for clip in (output["sr"], target["hr"]))
        pairs = list(zip(frames, truths, strict=True))
        return {"psnr_y": float(np.mean([capped(psnr_y(*pair, BORDER)) for pair in pairs])),
                "ssim_y": float(np.mean([ssim_y(*pair, BORDER) for pair in pairs])),
                "tof": flow_difference(frames, truths, BORDER)}

    def canary(self) -> Canary:
        """See `Canary`."""
        return Canary("sr", "hr", 0.0, 255.0, shift=8.0, floor=6.0)

    def trivial(self, sample: Sample) -> np.ndarray:
        """Bicubic, every frame."""
        size = sample.target["hr"].shape[1:3]
        return np.stack([imresize(frame, output_size=size) for frame in sample.inputs["lr"]])

    def show(self, inputs: Arrays, output: Arrays | None, target: Arrays) -> Arrays:
        """The frame in the middle; of the input enlarged by repeating pixels."""
        scale, middle = int(inputs["scale"]), len(target["hr"]) // 2
        enlarged = inputs["lr"][middle].repeat(scale, axis=0).repeat(scale, axis=1)
        pictures = {"input": enlarged, "truth": target["hr"][middle]}
        return pictures if output is None else {**pictures, "output": output["sr"][middle]}


PROTOCOL = VideoSuperResolution()
