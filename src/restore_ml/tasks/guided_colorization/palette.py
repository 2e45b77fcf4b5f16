"""The simulator of palettes: the few colours that a true picture is painted with, as a person would choose them.

Source: Bahng et al., "Coloring with words", ECCV 2018 (palettes of five Lab colours); the method card `palette_guided`.
"""

from __future__ import annotations

import numpy as np

COLOURS = 5
"""Of a palette."""
ENTRIES = 3 * COLOURS
"""L, a, b of each colour in turn."""
SAMPLED, ROUNDS = 512, 8


def palette(lightness: np.ndarray, ab: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The palette of a true picture (`lightness` H x W x 1, `ab` H x W x 2): ENTRIES float32, the colour of most pixels
    first.

    k-means over ab of at most SAMPLED random pixels, started as k-means++ does, ROUNDS of Lloyd's; L of a colour is the
    mean of its pixels'. A picture of fewer colours has some of them twice.
    """
    pixels = np.concatenate([lightness, ab], 2).reshape(-1, 3).astype(np.float64)
    if len(pixels) > SAMPLED:
        pixels = pixels[rng.choice(len(pixels), SAMPLED, replace=False)]
    centres = _spread(pixels, rng)
    nearest = _nearest(pixels, centres)
    for _ in range(ROUNDS):
        mine = nearest == np.arange(COLOURS)[:, None]
        sizes = mine.sum(1, keepdims=True)
        centres = np.where(sizes > 0, mine @ pixels / np.maximum(sizes, 1), centres)
        nearest = _nearest(pixels, centres)
    sizes = np.bincount(nearest, minlength=COLOURS)
    return centres[np.argsort(-sizes, kind="stable")].ravel().astype(np.float32)


def _spread(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """First centres: pixels, each drawn with the square of its distance from those before as its chance."""
    centres, away = [pixels[rng.integers(len(pixels))]], np.full(len(pixels), np.inf)
    while len(centres) < COLOURS:
        away = np.minimum(away, np.square(pixels[:, 1:] - centres[-1][1:]).sum(1))
        total = away.sum()
        centres.append(pixels[rng.choice(len(pixels), p=away / total if total > 0 else None)])
    return np.array(centres)


def _nearest(pixels: np.ndarray, centres: np.ndarray) -> np.ndarray:
    nearest: np.ndarray = (np.square(centres[:, 1:]).sum(1) - 2 * pixels[:, 1:] @ centres[:, 1:].T).argmin(1)
    return nearest
