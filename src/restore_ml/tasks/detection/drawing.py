"""How boxes are drawn over a picture for a person."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

RIGHT, WRONG, MISSED = (0, 158, 115), (213, 94, 0), (240, 228, 66)
"""Green, red and yellow that people tell apart who see colours otherwise (Okabe and Ito)."""

Colour = tuple[int, int, int]


def drawn(picture: np.ndarray, boxes: Iterable[tuple[np.ndarray, Colour]]) -> np.ndarray:
    """H x W x 3 uint8 with the outline of each box (left, top, right, bottom) in its colour, the last one on top."""
    shown = np.ascontiguousarray(picture).copy()
    width = max(1, min(shown.shape[:2]) // 256)
    for box, colour in boxes:
        left, top, right, bottom = (round(float(value)) for value in box)
        cv2.rectangle(shown, (left, top), (max(left, right - 1), max(top, bottom - 1)), colour, width)
    return shown
