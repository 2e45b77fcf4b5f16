"""Visible watermarks: y = (1 - alpha w) x + alpha w c with an anti-aliased matte w, and their exact inversion.

The method card, 1.3: the hole that methods are told of is what a careful hand would draw, the matte above 0.05 grown by
two pixels; alpha, w and c are kept, so that the exact inversion gives the upper bound of what can be had.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from restore_ml.degradations.masks import Rng, dilate, length_scale

FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX)
WORDS = ("SAMPLE", "PREVIEW", "COPYRIGHT", "PROOF", "DRAFT", "ARCHIVE")
LEAST, MOST = 0.02, 0.15
"""Shares of the picture that the hand-drawn mask covers."""
FAINT = 0.05
"""A matte up to this is taken for none, so that no trace of the mark lies outside its mask."""
SHARP = 4
"""The matte is drawn so many times larger and averaged down, for smooth edges."""


@dataclass(frozen=True)
class Watermark:
    """`matte`: H x W float32 in [0, 1]; `alpha` in (0, 1); `colour`: 3 float32 in [0, 1]."""

    matte: np.ndarray
    alpha: float
    colour: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """H x W uint8, 1 where the matte is above 0.05, grown by two pixels."""
        return dilate((self.matte > FAINT).astype(np.uint8), 2)

    @property
    def opacity(self) -> np.ndarray:
        """alpha w as H x W x 1."""
        return (self.alpha * self.matte)[..., None]

    def put_on(self, image: np.ndarray) -> np.ndarray:
        """The marked picture: `image` H x W x 3 float in [0, 1], the same back."""
        return (1 - self.opacity) * image + self.opacity * self.colour

    def take_off(self, marked: np.ndarray) -> np.ndarray:
        """The exact inverse of `put_on` (up to rounding): the oracle that knows alpha, w and c."""
        return (marked - self.opacity * self.colour) / (1 - self.opacity)


def random_watermark(height: int, width: int, rng: Rng) -> Watermark:
    """A rotated word, tiled words or a ring with letters; alpha in U(0.3, 0.8); white, grey or a random colour.

    The mark is made smaller or larger until its mask covers 2 to 15 % of the picture.
    """
    kind = str(rng.choice(["word", "tiled", "logo"]))
    word, font = str(rng.choice(WORDS)), int(rng.choice(FONTS))
    angle, alpha = float(rng.uniform(-45, 45)), float(rng.uniform(0.3, 0.8))
    shift = rng.uniform(-0.15, 0.15, size=2) * (width, height)
    colour = (np.ones(3), np.full(3, 0.5), rng.random(3))[int(rng.integers(3))].astype(np.float32)
    size = float(rng.uniform(0.7, 1.1))
    for _ in range(12):
        watermark = Watermark(_matte(height, width, kind, word, font, size, angle, shift), alpha, colour)
        share = watermark.mask.mean()
        if share < LEAST:
            size *= 1.3
        elif share > MOST:
            size *= 0.8
        else:
            break
    return watermark


def _matte(height: int, width: int, kind: str, word: str, font: int, size: float, angle: float,
           shift: np.ndarray) -> np.ndarray:
    """Drawn on a larger canvas, turned about the centre, moved, and averaged down: H x W float32 in [0, 1]."""
    rows, columns = height * SHARP, width * SHARP
    canvas = np.zeros((rows, columns), np.uint8)
    s = length_scale(height, width) * SHARP
    thickness = max(SHARP, round(3 * s * size))
    scale = 1.6 * s * size
    (text_width, text_height), _ = cv2.getTextSize(word, font, scale, thickness)
    centre = columns // 2, rows // 2
    if kind == "logo":
        radius = round(48 * s * size)
        cv2.circle(canvas, centre, radius, 255, thickness)
        (wide, tall), _ = cv2.getTextSize(word[:2], font, scale, thickness)
        cv2.putText(canvas, word[:2], (centre[0] - wide // 2, centre[1] + tall // 2), font, scale, 255, thickness)
    else:
        places = [centre]
        if kind == "tiled":
            scale, thickness = scale / 3, max(SHARP, thickness // 3)
            (text_width, text_height), _ = cv2.getTextSize(word, font, scale, thickness)
            places = [(x, y) for x in range(columns // 8, columns, columns // 2)
                      for y in range(rows // 6, rows, rows // 3)]
        for x, y in places:
            cv2.putText(canvas, word, (x - text_width // 2, y + text_height // 2), font, scale, 255, thickness)
    turn = cv2.getRotationMatrix2D((columns / 2, rows / 2), angle, 1.0)
    turn[:, 2] += shift * SHARP
    turned = cv2.warpAffine(canvas, turn, (columns, rows), flags=cv2.INTER_LINEAR)
    small = turned.reshape(height, SHARP, width, SHARP).mean(axis=(1, 3), dtype=np.float32) / 255
    return np.where(small > FAINT, small, 0).astype(np.float32)
