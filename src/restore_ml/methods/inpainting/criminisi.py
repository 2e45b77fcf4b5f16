"""Region filling and object removal by exemplar-based inpainting: patch after patch is copied from the known part.

Source: Criminisi, Pérez, Toyama, IEEE Transactions on Image Processing, 2004; method card `criminisi`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from restore_ml.nn.hole_methods import ExemplarFill
from restore_ml.nn.known_patches import UNKNOWN, sources
from restore_ml.seeds import generator

LEAST = 1e-3
"""Added to the data term, so that it is nowhere 0."""
DIGITS = 9
"""Priorities are rounded to so many decimal places: what is the same but for the order of a sum is a tie."""


class Priorities:
    """P = C D of the pixels of the hole's front (missing, beside a known one), -1 elsewhere; local, so that after a
    patch is filled only its surroundings are computed again.

    C: the mean over the patch, as far as it lies in the picture, of the confidence of its known pixels.
    D: the component of the patch's strongest known gradient (of two: the first in reading order) along the front, in
    units of [0, 1] a pixel, plus 0.001. A gradient is a central difference and known where all five pixels are.
    """

    def __init__(self, side: int) -> None:
        self.side, self.radius = side, side // 2

    def of(self, grey: np.ndarray, known: np.ndarray, confidence: np.ndarray) -> np.ndarray:
        """`grey` H x W in levels (int32), `known` H x W of 0 and 1 (uint8), `confidence` H x W (0 where missing)."""
        priority = np.full(known.shape, -1.0)
        y, x = np.nonzero((known == 0) & (cv2.dilate(known, CROSS) > 0))
        if not len(y):
            return priority
        gradient_y, gradient_x, size = self._gradients(grey, known)
        patches = sliding_window_view(np.pad(size, self.radius, constant_values=-1), (self.side, self.side))[y, x]
        place = patches.reshape(len(y), -1).argmax(1)
        row, column = y + place // self.side - self.radius, x + place % self.side - self.radius
        row, column = np.clip(row, 0, known.shape[0] - 1), np.clip(column, 0, known.shape[1] - 1)
        some = size[row, column] >= 0
        normal_y, normal_x = (cv2.Sobel(known, cv2.CV_64F, *order, borderType=cv2.BORDER_REPLICATE)[y, x]
                              for order in ((0, 1), (1, 0)))
        length = np.maximum(np.hypot(normal_y, normal_x), 1e-12)
        along = np.abs(gradient_x[row, column] * normal_y - gradient_y[row, column] * normal_x) / length
        data = np.where(some, along / (2 * 255), 0) + LEAST
        box = np.ones((self.side, self.side))
        total, count = (cv2.filter2D(each, cv2.CV_64F, box, borderType=cv2.BORDER_CONSTANT)[y, x]
                        for each in (confidence, np.ones_like(confidence)))
        priority[y, x] = np.round(total / count * data, DIGITS)
        return priority

    def _gradients(self, grey: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Twice the central differences along y and x, and the sum of their squares, -1 where a pixel is missing."""
        down, right = np.zeros_like(grey), np.zeros_like(grey)
        down[1:-1] = grey[2:] - grey[:-2]
        right[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
        sure = cv2.erode(known, CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
        return down, right, np.where(sure, down**2 + right**2, -1)

    def renew(self, priority: np.ndarray, y: int, x: int, *planes: np.ndarray) -> None:
        """Compute `priority` again, in place, where the patch around (y, x), just filled, may have changed it."""
        (inner_y, outer_y, inside_y), (inner_x, outer_x, inside_x) = (
            self._spans(middle, length) for middle, length in zip((y, x), priority.shape, strict=True))
        again = self.of(*(plane[outer_y, outer_x] for plane in planes))
        priority[inner_y, inner_x] = again[inside_y, inside_x]

    def _spans(self, middle: int, length: int) -> tuple[slice, slice, slice]:
        """What may have changed, what it depends on, and the first within the second."""
        reach = 2 * self.radius + 1
        start, stop = max(middle - reach, 0), min(middle + reach + 1, length)
        margin = self.radius + 2
        begin, end = max(start - margin, 0), min(stop + margin, length)
        return slice(start, stop), slice(begin, end), slice(start - begin, stop - begin)


CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


class Exemplars:
    """The known patches of a picture, to be compared by the squared difference over some of a patch's pixels.

    `values`: H x W x C whole numbers of -128 to 127, of which all sums are exact, so that a tie is a tie.
    """

    def __init__(self, values: np.ndarray, side: int, y: np.ndarray, x: np.ndarray) -> None:
        self.y, self.x, radius = y, x, side // 2
        exact = np.float32 if 3 * 128**2 * side**2 * values.shape[2] < 2**24 else np.float64
        rows = sliding_window_view(values, (side, side), (0, 1))[y - radius, x - radius].transpose(0, 2, 3, 1)
        squares = (rows.astype(np.int32) ** 2).sum(3).reshape(len(y), -1)
        self.table = np.concatenate([squares, rows.reshape(len(y), -1)], 1).astype(exact)

    def nearest(self, patch: np.ndarray, seen: np.ndarray, y: int, x: int) -> tuple[int, int]:
        """Row and column of the source most like `patch` (side x side x C) where `seen` (side x side) is true; of
        several the one nearest to (y, x), of several such the first in reading order."""
        weights = np.concatenate([seen.ravel(), (-2 * np.where(seen[..., None], patch, 0)).ravel()])
        distance = self.table @ weights.astype(self.table.dtype)
        best = np.flatnonzero(distance == distance.min())
        chosen = best[((self.y[best] - y) ** 2 + (self.x[best] - x) ** 2).argmin()]
        return int(self.y[chosen]), int(self.x[chosen])


def criminisi(picture: np.ndarray, mask: np.ndarray, patch: int = 9, space: str = "lab", most: int = 0,
              rng: np.random.Generator | None = None) -> np.ndarray:
    """Fill the pixels of `picture` (H x W x 3 or 1, uint8) where `mask` (H x W) is not 0; what lies there is not read.

    `patch`: odd side in pixels; `space`: lab or rgb, in which colours are compared; `most`: of the known patches at
    most so many are compared, drawn from `rng` (0: all). Where no patch is wholly known, the patch becomes smaller by
    2 pixels until one is; where nothing is known, all becomes mid grey.
    """
    hole = mask > 0
    filled = picture.copy()
    if hole.all():
        return np.full_like(picture, UNKNOWN)
    if not hole.any():
        return filled
    known, colour = (~hole).astype(np.uint8), picture.shape[2] == 3
    side, *centres = sources(~hole, patch, most, rng or generator("criminisi"))
    compared = cv2.cvtColor(filled, cv2.COLOR_RGB2LAB) if colour and space == "lab" else filled
    values = compared.astype(np.int16) - 128
    grey = (cv2.cvtColor(filled, cv2.COLOR_RGB2GRAY) if colour else filled[..., 0]).astype(np.int32)
    exemplars, priorities = Exemplars(values, side, *centres), Priorities(side)
    confidence = known.astype(np.float64)
    priority = priorities.of(grey, known, confidence)
    while (first := int(priority.argmax())) >= 0 and priority.flat[first] >= 0:
        y, x = divmod(first, hole.shape[1])
        rows, columns = (np.arange(max(middle - side // 2, 0), min(middle + side // 2 + 1, length))
                         for middle, length in zip((y, x), hole.shape, strict=True))
        target = np.ix_(rows, columns)
        inside = np.ix_(rows - y + side // 2, columns - x + side // 2)
        seen, wanted = np.zeros((side, side), bool), np.zeros((side, side, values.shape[2]), np.int32)
        seen[inside], wanted[inside] = known[target] > 0, values[target]
        from_y, from_x = exemplars.nearest(wanted, seen, y, x)
        missing = known[target] == 0
        trust = confidence[target].sum() / missing.size
        source = np.ix_(rows - y + from_y, columns - x + from_x)
        for plane in (filled, values, grey):
            plane[target] = np.where(missing[..., None] if plane.ndim == 3 else missing, plane[source], plane[target])
        confidence[target] = np.where(missing, trust, confidence[target])
        known[target] = 1
        priorities.renew(priority, y, x, grey, known, confidence)
    return filled


class Criminisi(ExemplarFill):
    """See the module's docstring. `patch`: odd side in pixels; `space`: in which colours are compared; `sources`: at
    most so many known patches are compared, drawn for the picture (0: all). Works on bytes.

    reading: what is known once (not what was filled) is copied; gradients in units of [0, 1] and 0.001 is added to the
    data term; patches at the picture's border are cut; smaller patches where none is known, mid grey where nothing is.
    """

    paper: ClassVar[dict[str, Any]] = {"patch": 9, "space": "lab", "sources": 0}
    reading = "gradients, the border, smaller patches where none is wholly known"
    choices: ClassVar = {"space": ("lab", "rgb")}
    zero_allowed = ("sources",)

    def fill(self, picture: np.ndarray, mask: np.ndarray, seed: int) -> np.ndarray:
        """See `ByteFill.fill`."""
        s = self.settings
        return criminisi(picture, mask, s["patch"], s["space"], s["sources"], generator(seed, "sources"))


METHOD = Criminisi
