"""Irregular masks in six classes of hole ratio, a reproducible substitute for the published set of partial convolution.

The published masks come from occlusions between video frames; here strokes, rings and walks are dilated, rotated and
united until the ratio falls into the class that is asked for (the method card, 1.3).
"""

from __future__ import annotations

import cv2
import numpy as np

from restore_ml.degradations.masks import Rng, brush_stroke, dilate, length_scale, pixels, random_walk

BUCKETS = {1: (0.01, 0.1), 2: (0.1, 0.2), 3: (0.2, 0.3), 4: (0.3, 0.4), 5: (0.4, 0.5), 6: (0.5, 0.6)}
"""Hole ratios of the six classes: above the first, up to and with the second."""
TRIES = 50


def irregular_bucket(height: int, width: int, rng: Rng, k: int = 3, border: bool = True) -> np.ndarray:
    """A mask whose hole ratio lies in class `k` (1 to 6).

    `border=False` leaves a frame of 50/512 of each side empty; the ratio still counts the whole picture.
    Starts again when a part overshoots the class; after 50 starts the last mask is shrunk and filled up pixel by pixel.
    Raises `ValueError` where the free middle of a tiny picture is smaller than the class.
    """
    low, high = BUCKETS[k]
    frame = _frame(height, width, border)
    if frame.mean() <= low:
        raise ValueError(f"A {height} x {width} mask without its border cannot be more than {low:.0%} missing.")
    for _ in range(TRIES):
        mask = np.zeros((height, width), np.uint8)
        while mask.mean() <= low:
            mask |= _part(height, width, rng) & frame
        if mask.mean() <= high:
            return mask
    return _trim(mask, frame, rng, low, high)


def _frame(height: int, width: int, border: bool) -> np.ndarray:
    """1 where holes may lie."""
    if border:
        return np.ones((height, width), np.uint8)
    frame = np.zeros((height, width), np.uint8)
    rows, columns = int(np.ceil(height * 50 / 512)), int(np.ceil(width * 50 / 512))
    frame[rows:height - rows, columns:width - columns] = 1
    return frame


def _part(height: int, width: int, rng: Rng) -> np.ndarray:
    """One stroke, ring or walk, dilated and rotated at random."""
    s = length_scale(height, width)
    shape = rng.integers(3)
    if shape == 0:
        mask = brush_stroke(height, width, rng, strokes=1, widths=(4, 30))
    elif shape == 1:
        mask = np.zeros((height, width), np.uint8)
        axes = tuple(int(value) for value in rng.integers(pixels(8 * s, 2), pixels(64 * s, 3) + 1, size=2))
        centre = int(rng.integers(width)), int(rng.integers(height))
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 360)), 0, 360, 1, int(rng.integers(1, pixels(16 * s) + 1)))
    else:
        mask = random_walk(height, width, rng, share=(0.02, 0.1))
    mask = dilate(mask, int(rng.integers(pixels(s), pixels(9 * s) + 1)))
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.uniform(0, 360)), 1.0)
    return cv2.warpAffine(mask, turn, (width, height), flags=cv2.INTER_NEAREST)


def _trim(mask: np.ndarray, frame: np.ndarray, rng: Rng, low: float, high: float) -> np.ndarray:
    """Shrink the mask by whole pixel layers while it is too large, then fill up the last layer at random."""
    while mask.mean() > high:
        bigger, mask = mask, cv2.erode(mask, np.ones((3, 3), np.uint8))
    if mask.mean() <= low:
        layer = np.flatnonzero((bigger > mask) & (frame > 0))
        need = int((low + high) / 2 * mask.size) - int(mask.sum())
        mask = mask.copy()
        mask.flat[rng.permutation(layer)[:need]] = 1
    return mask
