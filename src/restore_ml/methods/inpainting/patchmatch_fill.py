"""Completion by PatchMatch: every patch of the hole looks for its nearest known patch, and these vote for its pixels,
in turn and from coarse to fine.

Source: Barnes, Shechtman, Finkelstein, Goldman, SIGGRAPH 2009 (the search); Wexler, Shechtman, Irani, "Space-time
completion of video", 2007 (the votes); method card `patchmatch_fill`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from restore_ml.nn.hole_filling import harmonic
from restore_ml.nn.hole_methods import ExemplarFill
from restore_ml.nn.known_patches import UNKNOWN, sources, whole
from restore_ml.seeds import generator

STEPS = (8, 4, 2, 1)
"""How far away the neighbours are whose matches a patch tries: all patches look at the same time, so that what is good
travels by leaps instead of along the scan."""
LEAST = 1e-12
"""The least factor by which a poor match makes a vote smaller, so that every pixel has one."""


class Matches:
    """For each patch of a level that holds missing pixels, the centre of a wholly known one and their distance, the
    sum of squared differences of all pixels in levels of 255. Distances never increase, and no match holds a missing
    pixel.

    `values`: H x W x C uint8; `known`: H x W bool; `side`: odd. `y`, `x`: the patches' centres in reading order;
    `to_y`, `to_x`, `distance`: their matches.
    """

    def __init__(self, values: np.ndarray, known: np.ndarray, side: int, rng: np.random.Generator) -> None:
        self.values, self.side, self.rng, self.whole = values, side, rng, whole(known, side)
        inside = whole(np.ones_like(known), side)
        self.y, self.x = np.nonzero(inside & ~self.whole)
        self.number: np.ndarray = np.full(known.shape, -1)
        self.number[self.y, self.x] = np.arange(len(self.y))
        height, width, channels = values.shape
        at, windows = side // 2, sliding_window_view(values, (side, side), (0, 1)).transpose(0, 1, 3, 4, 2)
        self.rows = np.zeros((height, width, side * side * channels), np.uint8)
        self.rows[at:height - at, at:width - at] = windows.reshape(height - side + 1, width - side + 1, -1)
        self.to_y, self.to_x = self._anywhere(len(self.y))
        self.look_at(values)

    def _anywhere(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        found = np.argwhere(self.whole)
        chosen = found[self.rng.integers(len(found), size=count)]
        return chosen[:, 0], chosen[:, 1]

    def start_from(self, coarse: Matches) -> None:
        """Take the matches of a level of half the size, each twice as far; where that is none, keep the drawn one."""
        number = coarse.number[np.minimum(self.y // 2, coarse.number.shape[0] - 1),
                               np.minimum(self.x // 2, coarse.number.shape[1] - 1)]
        y, x = 2 * coarse.to_y[number] + self.y % 2, 2 * coarse.to_x[number] + self.x % 2
        fits = (number >= 0) & self._fit(y, x)
        self.to_y, self.to_x = np.where(fits, y, self.to_y), np.where(fits, x, self.to_x)

    def look_at(self, estimate: np.ndarray) -> None:
        """Compare from now on with the patches of `estimate`, H x W x C uint8."""
        at = self.side // 2
        windows = sliding_window_view(estimate, (self.side, self.side), (0, 1))[self.y - at, self.x - at]
        self.wanted = windows.transpose(0, 2, 3, 1).reshape(len(self.y), -1).astype(np.float32)
        self.distance = self._distances(np.arange(len(self.y)), self.to_y, self.to_x)

    def _distances(self, chosen: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        difference = self.wanted[chosen] - self.rows[y, x]
        return np.einsum("nk,nk->n", difference, difference)

    def _fit(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        height, width = self.whole.shape
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        return inside & self.whole[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]

    def attempt(self, y: np.ndarray, x: np.ndarray, fits: np.ndarray) -> None:
        """Take the centres (y, x) as matches where they `fit`, are wholly known and strictly nearer."""
        chosen = np.flatnonzero(fits & ((y != self.to_y) | (x != self.to_x)) & self._fit(y, x))
        distance = self._distances(chosen, y[chosen], x[chosen])
        nearer = distance < self.distance[chosen]
        chosen = chosen[nearer]
        self.to_y[chosen], self.to_x[chosen], self.distance[chosen] = y[chosen], x[chosen], distance[nearer]

    def improve(self, turn: int) -> None:
        """One iteration: the matches of the neighbours above and left (of odd turns: below and right), moved along,
        then draws around the present match, within a distance that is halved from the picture's side to 1."""
        height, width = self.values.shape[:2]
        for step in STEPS:
            for down, right in ((-step, 0), (0, -step)) if turn % 2 == 0 else ((step, 0), (0, step)):
                y, x = self.y + down, self.x + right
                inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
                number = np.where(inside, self.number[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)], -1)
                self.attempt(self.to_y[number] - down, self.to_x[number] - right, number >= 0)
        reach = max(height, width)
        while reach >= 1:
            move = self.rng.integers(-reach, reach + 1, (2, len(self.y)))
            self.attempt(self.to_y + move[0], self.to_x + move[1], np.ones(len(self.y), bool))
            reach //= 2

    def vote(self, missing: np.ndarray, gamma: float) -> np.ndarray:
        """The picture with its missing pixels (H x W bool) the weighted means of what the matches of all patches over
        them show there, rounded: H x W x C uint8.

        The weight of a patch: exp(-d / (2 s)), d its distance and s the 75th percentile of all distances, times gamma
        to the power of minus its centre's distance from the known pixels.
        """
        spread = max(float(np.percentile(self.distance, 75)), 1.0)
        depth = cv2.distanceTransform(missing.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        weight = np.maximum(np.exp(-self.distance.astype(np.float64) / (2 * spread)), LEAST)
        weight *= gamma ** -depth[self.y, self.x].astype(np.float64)
        total, sums = np.zeros(missing.shape), np.zeros(self.values.shape)
        for down in range(-(self.side // 2), self.side // 2 + 1):
            for right in range(-(self.side // 2), self.side // 2 + 1):
                y, x = self.y + down, self.x + right
                total[y, x] += weight
                sums[y, x] += weight[:, None] * self.values[self.to_y + down, self.to_x + right]
        mean = np.rint(sums / np.where(missing, total, 1)[..., None])
        return np.where(missing[..., None], mean, self.values).astype(np.uint8)


def halved(values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Picture and known pixels at half the size: means of the known ones of each 2 x 2, missing where none is known."""
    height, width = (length + length % 2 for length in known.shape)
    shape = (height // 2, 2, width // 2, 2)
    below, right = height - known.shape[0], width - known.shape[1]
    weight = np.pad(known, ((0, below), (0, right))).astype(float)[..., None]
    count = weight.reshape(*shape, 1).sum((1, 3))
    sums = (weight * np.pad(values, ((0, below), (0, right), (0, 0)))).reshape(*shape, -1).sum((1, 3))
    return np.rint(sums / np.maximum(count, 1)).astype(np.uint8), count[..., 0] > 0


def smooth(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The missing pixels by diffusion until nothing changes: each is the mean of its up to four neighbours."""
    return np.rint(np.clip(harmonic(values.astype(np.float64), ~known), 0, 255)).astype(np.uint8)


def patchmatch_fill(picture: np.ndarray, mask: np.ndarray, settings: dict[str, Any], rng: np.random.Generator
                    ) -> np.ndarray:
    """Fill the pixels of `picture` (H x W x 3 or 1, uint8) where `mask` (H x W) is not 0; what lies there is not read.

    `settings`: those of `PatchMatchFill`. Where no patch is wholly known, the patch becomes smaller by 2 pixels until
    one is; where nothing is known, all becomes mid grey.
    """
    known = mask == 0
    values = np.where(known[..., None], picture, np.uint8(0))
    if not known.any():
        return np.full_like(picture, UNKNOWN)
    if known.all():
        return values
    side = sources(known, settings["patch"], 0, rng)[0]
    levels = [(values, known)]
    while min(levels[-1][1].shape) >= 2 * settings["coarsest"]:
        smaller = halved(*levels[-1])
        if smaller[1].all() or not whole(smaller[1], side).any():
            break
        levels.append(smaller)
    estimate, before = smooth(*levels[-1]), None
    for values, known in reversed(levels):
        matches = Matches(values, known, side, rng)
        if before is not None:
            matches.start_from(before)
            larger = estimate.repeat(2, 0).repeat(2, 1)[:known.shape[0], :known.shape[1]]
            estimate = np.where(known[..., None], values, larger)
        for _ in range(settings["rounds"]):
            matches.look_at(estimate)
            for turn in range(settings["iterations"]):
                matches.improve(turn)
            estimate = matches.vote(~known, settings["gamma"])
        before = matches
    return estimate


class PatchMatchFill(ExemplarFill):
    """See the module's docstring. `patch`: odd side in pixels; `rounds` of search and votes at each level and
    `iterations` of a search; `gamma`: how fast votes lose weight with the distance from what is known; `coarsest`: no
    level's shorter side is smaller. Works on bytes. The draws come from the seed.

    reading: all patches look at the same time, at neighbours 8, 4, 2 and 1 pixels away; the squared differences take
    the place of d^2 in the weights; estimates are rounded each round; a level with a patch that is wholly known is the
    coarsest; smaller patches where none is known, mid grey where nothing is.
    """

    paper: ClassVar[dict[str, Any]] = {"patch": 7, "rounds": 10, "iterations": 4, "gamma": 1.3, "coarsest": 16}
    reading = "patches look at the same time, the weights' unit, levels, smaller patches where none is wholly known"

    def fill(self, picture: np.ndarray, mask: np.ndarray, seed: int) -> np.ndarray:
        """See `ByteFill.fill`."""
        return patchmatch_fill(picture, mask, self.settings, generator(seed, "draws"))


METHOD = PatchMatchFill
