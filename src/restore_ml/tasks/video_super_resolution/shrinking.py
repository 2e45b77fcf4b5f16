"""How the frames of a clip are made small: all of them alike, each by itself.

`x<scale>` (`BI`): imresize by 1 / scale, rounded to uint8, as VESPCN and most tables have it. `x<scale>_bd` (`BD`): a
Gaussian of sigma 1.6 and 13 x 13 pixels, then every scale-th pixel from pixel 0 on, as DUF and FRVSR have it; against
`BI` its frames are shifted by (scale - 1) / 2 pixels, and bicubic enlargement does not undo that.
Source: section 3 and the common video part of the super-resolution cards.
"""

from __future__ import annotations

import re

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.degradations.blur import blur_decimate
from restore_ml.degradations.resize import imresize

LARGEST_SCALE = 4
BLUR_SIGMA, BLUR_SIZE = 1.6, 13


def parse_degradation(degradation: str) -> tuple[int, str]:
    """(scale, kind); kind is empty or `bd`.

    >>> parse_degradation("x4"), parse_degradation("x3_bd")
    ((4, ''), (3, 'bd'))
    """
    match = re.fullmatch(r"x([2-4])(?:_(bd))?", str(degradation))
    if match is None:
        raise UserError(f"The degradation {degradation!r} of video_super_resolution is unknown; write x2, x3 or x4, "
                        "with _bd after it for blur and decimation.")
    return int(match[1]), match[2] or ""


def cropped(frames: np.ndarray, scale: int) -> np.ndarray:
    """T x H x W x C with rows at the bottom and columns at the right cut off so that both are multiples of `scale`."""
    height, width = frames.shape[1:3]
    return frames[:, :height - height % scale, :width - width % scale]


def shrunk(frames: np.ndarray, degradation: str) -> np.ndarray:
    """The low-resolution clip (T x h x w x C uint8) of `frames` (T x H x W x C uint8), cropped first."""
    scale, kind = parse_degradation(degradation)
    whole = cropped(frames, scale)
    side_by_side = np.moveaxis(whole, 0, 2).reshape(*whole.shape[1:3], -1)  # frames as channels of one picture
    small = blur_decimate(side_by_side, scale, BLUR_SIGMA, BLUR_SIZE) if kind else imresize(side_by_side, 1 / scale)
    return np.ascontiguousarray(np.moveaxis(small.reshape(*small.shape[:2], len(frames), -1), 2, 0))
