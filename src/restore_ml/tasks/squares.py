"""Pictures of any shape as squares of one size, alike in training and when restoring."""

from __future__ import annotations

import cv2
import numpy as np


def square(picture: np.ndarray, side: int) -> np.ndarray:
    """H x W x C uint8 stretched to `side` x `side` x C: bilinear where it grows, the mean of the area where it shrinks.
    One of that size is given as it is."""
    height, width = picture.shape[:2]
    if (height, width) == (side, side):
        return picture
    shrinks = height * width > side * side
    resized = cv2.resize(np.ascontiguousarray(picture), (side, side),
                         interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR_EXACT)
    return resized if resized.ndim == 3 else resized[..., None]


def grey_square(picture: np.ndarray, side: int) -> np.ndarray:
    """The luma of an H x W x 3 uint8 picture, `side` x `side` uint8; grey levels in three channels stay what they
    are."""
    return cv2.cvtColor(np.ascontiguousarray(square(picture, side)), cv2.COLOR_RGB2GRAY)
