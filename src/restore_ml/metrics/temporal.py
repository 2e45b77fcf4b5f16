"""What is wrong between the frames of a clip. Clips are T x H x W x 3 uint8."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from restore_ml.metrics.fidelity import Array, same_shape, shaved


def flow_difference(restored: Array, truth: Array, border: int) -> float:
    """tOF (Chu et al., TecoGAN, SIGGRAPH 2020), in pixels: how far the optical flow of the restored clip is from that
    of the true one. 0 for equal clips; NaN for a single frame.

    From each frame to the next one; Farneback's flow of grey frames with the parameters of that paper's code (pyramid
    0.5, 3 levels, window 15, 3 iterations, polynomials of 5 pixels and sigma 1.2). The mean over pixels of the length
    of the difference, `border` pixels shaved from each side, then over the pairs.
    """
    same_shape(restored, truth)
    lengths = [np.linalg.norm(shaved(ours - true, border), axis=-1).mean()
               for ours, true in zip(_flows(restored), _flows(truth), strict=True)]
    return float(np.mean(lengths)) if lengths else float("nan")


def _flows(clip: Array) -> list[Array]:
    """H x W x 2 float64 from each frame to the next one."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip]
    return [cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 3, 15, 3, 5, 1.2,  # type: ignore[call-overload]
                                         0).astype(np.float64)
            for first, second in pairwise(grey)]
