"""How a class and its probabilities are drawn on a picture for a person."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

LEAST = 64
"""The shorter side of what is shown, at least; smaller pictures are enlarged by a whole number, pixel by pixel."""
RIGHT, WRONG = (0, 158, 115), (213, 94, 0)
"""Green and red that people tell apart who see colours otherwise (Okabe and Ito)."""
BARS = 3
"""How many of the likeliest classes are drawn."""


def enlarged(picture: np.ndarray) -> np.ndarray:
    """H x W x 3 uint8, repeated until the shorter side is LEAST pixels."""
    factor = -(-LEAST // min(picture.shape[:2]))
    return np.repeat(np.repeat(picture, factor, axis=0), factor, axis=1)


def labelled(picture: np.ndarray, name: str, colour: tuple[int, int, int],
             probabilities: Mapping[str, float] | None = None) -> np.ndarray:
    """The picture with the name of a class in a strip of that colour at its foot, and above it the likeliest classes,
    each with a bar as long as it is probable (none where one is sure, which the strip says)."""
    shown = picture.copy()
    height, width = shown.shape[:2]
    strip = max(11, height // 8)
    shown[height - strip:] = colour
    _write(shown, name, height - strip, strip)
    likely = sorted((probabilities or {}).items(), key=lambda entry: -entry[1])[:BARS]
    if not likely or likely[0][1] > 0.995:
        return shown
    top = height - strip - len(likely) * (strip - 2)
    shown[top:height - strip] = (shown[top:height - strip].astype(np.float64) * 0.3).astype(np.uint8)
    for place, (other, share) in enumerate(likely):
        row = top + place * (strip - 2)
        shown[row + 1:row + strip - 3, :max(1, round(width * share))] = (86, 120, 160)
        _write(shown, f"{other} {share:.2f}", row, strip - 2)
    return shown


def _write(shown: np.ndarray, words: str, top: int, high: int) -> None:
    """White letters from the left, as large as the strip and the width allow."""
    font = cv2.FONT_HERSHEY_SIMPLEX
    (width, height), _ = cv2.getTextSize(words, font, 1.0, 1)
    size = min((high - 4) / height, (shown.shape[1] - 4) / max(1, width))
    plain = np.ascontiguousarray(shown)
    cv2.putText(plain, words, (2, top + high - 3), font, size, (255, 255, 255), 1, cv2.LINE_AA)
    shown[:] = plain
