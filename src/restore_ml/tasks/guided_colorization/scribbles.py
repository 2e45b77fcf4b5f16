"""The simulator of scribbles: strokes of one colour each, drawn as a person would who keeps inside of what she colours.

Source: the input of Levin et al., SIGGRAPH 2004; the method cards `user_hints` (any polyline) and `levin_scribble`. How
strokes are drawn is ours.
"""

from __future__ import annotations

import numpy as np

from restore_ml.arrays import Arrays

PIECES, REACH = 4, 0.2
"""A stroke has PIECES straight pieces, each of at most REACH of the shorter side."""
ASTRAY = 12.0
"""A piece ends where the true colour is as far in ab from that of the stroke's first pixel."""
BEND = 0.8
"""The deviation of the angle, in radians, from a piece to the next."""


def scribbles(ab: np.ndarray, count: int, side: int, rng: np.random.Generator) -> Arrays:
    """`count` strokes on the true `ab` (H x W x 2), `side` pixels wide: `hint` (H x W x 2 float32, their colours, 0
    elsewhere) and `hinted` (H x W x 1 float32, 1 where a colour is given, else 0).

    A stroke begins at a place that is normal about the middle, with a quarter of the picture as deviation, held inside;
    its colour is the mean of the true one beneath it. A later stroke covers an earlier one. Those of a smaller number
    are the first ones of a larger one.
    """
    height, width = ab.shape[:2]
    side, reach = min(side, height, width), REACH * min(height, width)
    hint, hinted = np.zeros((height, width, 2), np.float32), np.zeros((height, width, 1), np.float32)
    for _ in range(count):
        place = np.array([np.clip(rng.normal((length - side) / 2, length / 4), 0, length - side)
                          for length in (height, width)])
        angle, beneath = rng.uniform(0, 2 * np.pi), np.zeros((height, width), bool)
        first = _seen(ab, place, side)
        for _ in range(PIECES):
            for _ in range(round(rng.uniform(0.3, 1) * reach)):
                top, left = np.rint(place).astype(int)
                beneath[top:top + side, left:left + side] = True
                ahead = place + np.array([np.sin(angle), np.cos(angle)])
                outside = not ((ahead >= 0) & (ahead <= (height - side, width - side))).all()
                if outside or np.linalg.norm(_seen(ab, ahead, side) - first) > ASTRAY:
                    break
                place = ahead
            angle += rng.normal(0, BEND)
        hint[beneath], hinted[beneath] = ab[beneath].mean(0), 1
    return {"hint": hint, "hinted": hinted}


def _seen(ab: np.ndarray, place: np.ndarray, side: int) -> np.ndarray:
    """The true colour at the middle of a dab."""
    row, column = np.rint(place).astype(int) + side // 2
    seen: np.ndarray = ab[row, column].astype(np.float64)
    return seen
