"""Square patches of a picture with a hole that hold known pixels only: what exemplar methods copy from."""

from __future__ import annotations

import cv2
import numpy as np

UNKNOWN = 128
"""The level (of 255) of a picture of which nothing is known."""


def whole(known: np.ndarray, side: int) -> np.ndarray:
    """Where the patch of an odd `side` around a pixel lies in the picture and holds known pixels only: H x W bool, of
    `known`, H x W bool."""
    return cv2.erode(known.astype(np.uint8), np.ones((side, side), np.uint8), borderType=cv2.BORDER_CONSTANT,
                     borderValue=0) > 0


def sources(known: np.ndarray, side: int, most: int, rng: np.random.Generator) -> tuple[int, np.ndarray, np.ndarray]:
    """The side of the patches and the rows and columns of the centres of all that are whole, in reading order.

    Where no patch of `side` is whole, the side becomes smaller by 2 until there is one; of more than `most` (0: no
    bound) that many are drawn. At least one pixel of `known` (H x W bool) must be.
    """
    while not (found := whole(known, side)).any():
        side -= 2
    y, x = np.nonzero(found)
    if 0 < most < len(y):
        chosen = np.sort(rng.choice(len(y), most, replace=False))
        y, x = y[chosen], x[chosen]
    return side, y, x
