"""Texture synthesis by non-parametric sampling, in its hole-filling form: one pixel at a time is drawn from the known
pixels whose surroundings are alike.

Source: Efros, Leung, ICCV 1999, and the authors' page on the algorithm; method card `efros_leung`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from restore_ml.nn.hole_methods import ExemplarFill
from restore_ml.nn.known_patches import UNKNOWN, sources
from restore_ml.seeds import generator

AS_GOOD = 11, 10
"""Windows whose error is at most 11/10 of the least are drawn from."""
FIRST_LIMIT = 0.3
"""The largest error at which a pixel is filled: mean over channels and, weighted, over pixels, of squares in [0, 1]."""
GROWTH = 1.1
"""The factor on that limit after a round that filled nothing."""
UNIT = 1000
"""The weight of a window's centre. All are rounded to whole numbers, so that sums are exact and ties are ties."""


def gaussian(side: int) -> np.ndarray:
    """The weights of a window's pixels, side x side: a Gaussian of standard deviation side / 6.4, in whole numbers of
    at least 1."""
    squares = (np.arange(side) - side // 2) ** 2
    return np.maximum(np.rint(UNIT * np.exp(-(squares[:, None] + squares) / (2 * (side / 6.4) ** 2))), 1)


class Windows:
    """The known windows of a picture, whose centres are drawn from.

    `values`: H x W x C whole numbers of -128 to 127; `y`, `x`: centres of windows of an odd `side`.
    """

    def __init__(self, values: np.ndarray, side: int, y: np.ndarray, x: np.ndarray) -> None:
        self.side, self.weights, radius = side, gaussian(side), side // 2
        rows = sliding_window_view(values, (side, side), (0, 1))[y - radius, x - radius].transpose(0, 2, 3, 1)
        squares = (rows.astype(np.int32) ** 2).sum(3).reshape(len(y), -1)
        self.table = np.concatenate([squares, rows.reshape(len(y), -1)], 1).astype(np.float64)

    def errors(self, patches: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weighted sums of squared differences of N patches (N x side x side x C) to all windows over the pixels that
        are `seen` (N x side x side): N x windows; and the weights that were used, N. One matrix product."""
        weights = seen * self.weights
        weighted = weights[..., None] * patches
        sides = np.concatenate([weights.reshape(len(seen), -1), -2 * weighted.reshape(len(seen), -1)], 1)
        constant = (weighted * patches).sum((1, 2, 3))
        return sides @ self.table.T + constant[:, None], weights.sum((1, 2))


def front(filled: np.ndarray) -> np.ndarray:
    """How many of its eight neighbours are filled, H x W, 0 at filled pixels."""
    around = cv2.filter2D(filled.astype(np.uint8), -1, np.ones((3, 3)), borderType=cv2.BORDER_CONSTANT)
    return np.where(filled, 0, around)


def batches(filled: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """The round's pixels (flat indices), in four batches by whether row and column are even, each of which sees those
    before it; in random order, then by decreasing number of filled neighbours."""
    around = front(filled)
    flat = rng.permutation(np.flatnonzero(around))
    flat = flat[np.argsort(-around.flat[flat].astype(int), kind="stable")]
    group = flat // filled.shape[1] % 2 * 2 + flat % filled.shape[1] % 2
    order = list(dict.fromkeys(group.tolist()))
    return [flat[group == each] for each in order]


def efros_leung(picture: np.ndarray, mask: np.ndarray, window: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """Fill the pixels of `picture` (H x W x 3 or 1, uint8) where `mask` (H x W) is not 0; what lies there is not read.

    `window`: odd side in pixels; `most`: of the known windows at most so many are compared, drawn from `rng` (0: all).
    Where no window is wholly known, it becomes smaller by 2 pixels until one is; where nothing is known, all becomes
    mid grey.
    """
    hole = mask > 0
    result = np.where(hole[..., None], np.uint8(0), picture)
    if hole.all():
        return np.full_like(picture, UNKNOWN)
    if not hole.any():
        return result
    side, y, x = sources(~hole, window, most, rng)
    radius, width = side // 2, hole.shape[1]
    values = np.pad(result.astype(np.int16) - 128, ((radius, radius), (radius, radius), (0, 0)))
    known = np.pad(~hole, radius)
    windows = Windows(values, side, y + radius, x + radius)
    patches = sliding_window_view(values, (side, side), (0, 1)).transpose(0, 1, 3, 4, 2)
    seen, inner = sliding_window_view(known, (side, side)), np.s_[radius:radius + hole.shape[0], radius:radius + width]
    limit = FIRST_LIMIT
    while not known[inner].all():
        done = 0
        for flat in batches(known[inner], rng):
            rows, columns = np.divmod(flat, width)
            errors, used = windows.errors(patches[rows, columns].astype(np.float64), seen[rows, columns])
            chosen = drawn(errors, rng)
            error = errors[np.arange(len(flat)), chosen] / np.maximum(used, 1) / values.shape[2] / 255**2
            good = error < limit
            rows, columns, chosen = rows[good] + radius, columns[good] + radius, chosen[good]
            values[rows, columns] = values[y[chosen] + radius, x[chosen] + radius]
            known[rows, columns] = True
            done += len(rows)
        if not done:
            limit *= GROWTH
    return (values[inner] + 128).astype(np.uint8)


def drawn(errors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each row of whole-number errors one of the columns within 11/10 of its least, each as likely."""
    as_good = errors * AS_GOOD[1] <= errors.min(1, keepdims=True) * AS_GOOD[0]
    number = rng.integers(as_good.sum(1))
    return (as_good.cumsum(1, dtype=np.int32) > number[:, None]).argmax(1)


class EfrosLeung(ExemplarFill):
    """See the module's docstring. `window`: odd side in pixels; `sources`: at most so many known windows are compared,
    drawn for the picture (0: all). Works on bytes. The result is random by design; its draws come from the seed.

    reading: a round's pixels are filled in four batches by even and odd rows and columns, not one by one; of the known
    windows some are drawn; windows at the picture's border are cut; smaller windows where none is known, mid grey
    where nothing is.
    """

    side = "window"
    paper: ClassVar[dict[str, Any]] = {"window": 11, "sources": 0}
    reading = "four batches a round, the border, smaller windows where none is wholly known"
    zero_allowed = ("sources",)

    def fill(self, picture: np.ndarray, mask: np.ndarray, seed: int) -> np.ndarray:
        """See `ByteFill.fill`."""
        return efros_leung(picture, mask, self.settings["window"], self.settings["sources"], generator(seed, "draws"))


METHOD = EfrosLeung
