"""The outline of an object that hides a part of the picture: a closed shape of Bezier curves, taken out.

Definitions: the method card, table of masks (1.3, addenda). Shapes of 6 to 8 corners and roughness 0.6 to 0.8 are those
of the moving masks of Zeng, Fu, Chao (STTN), ECCV 2020.
"""

from __future__ import annotations

import cv2
import numpy as np

from restore_ml.degradations.masks import Rng, dilate

SHARES = (0.05, 0.3)
"""Of the picture, that an object may hide."""
BOXY = 0.9
"""A shape that fills as much of its bounding box looks like a rectangle."""
TRIES = 200
POINTS = 12
"""Of each curve between two corners."""


def object_outline(height: int, width: int, rng: Rng) -> np.ndarray:
    """One object: an area of 5 to 30 % in one piece, not a rectangle, its outline dilated by one pixel.

    reading: corners lie at even angles, moved by up to a third of their distance, 0.4 to 1 of the way from the middle
    of a box whose sides are a third to all of the picture's; the curves leave a corner along the line between its
    neighbours, for half the roughness of the distance to the next one; the shape is made as large as a share drawn
    evenly from 5 to 30 % asks. Raises `RuntimeError` for pictures too small for any such shape (below 16 pixels).
    """
    for _ in range(TRIES):
        curve = _outline(rng) * (rng.uniform(1 / 3, 1) * width, rng.uniform(1 / 3, 1) * height)
        curve *= np.sqrt(rng.uniform(*SHARES) * height * width / max(_area(curve), 1e-9))
        low, high = curve.min(axis=0), curve.max(axis=0)
        place = rng.random(2)
        if (high - low > (width - 1, height - 1)).any():
            continue
        points = curve - low + place * ((width - 1, height - 1) - (high - low))
        mask = np.zeros((height, width), np.uint8)
        cv2.fillPoly(mask, [points.round().astype(np.int32)], 1)
        mask = dilate(mask, 1)
        if SHARES[0] <= mask.mean() <= SHARES[1] and _fill_of_box(mask) < BOXY and _pieces(mask) == 1:
            return mask
    raise RuntimeError(f"No outline of an object fits {height} x {width} pixels.")


def _outline(rng: Rng) -> np.ndarray:
    """Points (x, y) of a closed curve around (0, 0) within about 1/2."""
    corners, roughness = int(rng.integers(6, 9)), rng.uniform(0.6, 0.8)
    angles = (np.arange(corners) + rng.uniform(-1 / 3, 1 / 3, corners)) * 2 * np.pi / corners
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(0.2, 0.5, corners)[:, None]
    following, before = np.roll(points, -1, axis=0), np.roll(points, 1, axis=0)
    chords = following - before
    chords /= np.linalg.norm(chords, axis=1, keepdims=True)
    reach = roughness / 2 * np.linalg.norm(following - points, axis=1, keepdims=True)
    handles = points, points + reach * chords, following - reach * np.roll(chords, -1, axis=0), following
    t = np.linspace(0, 1, POINTS, endpoint=False)[None, :, None]
    weights = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t ** 2 * (1 - t), t ** 3
    return sum(weight * handle[:, None] for weight, handle in zip(weights, handles, strict=True)).reshape(-1, 2)


def _area(curve: np.ndarray) -> float:
    """Of a closed polygon."""
    x, y = curve.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _fill_of_box(mask: np.ndarray) -> float:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(mask.sum() / ((rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)))


def _pieces(mask: np.ndarray) -> int:
    return int(cv2.connectedComponents(mask, connectivity=8)[0]) - 1
