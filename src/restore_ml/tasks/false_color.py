"""Scenes of many bands as pictures for a person: three of their bands as red, green and blue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from restore_ml.data.bands import wavelength

SHOWN = (2.1, 0.65, 1.38)
"""Micrometres that are shown as red, green and blue: short-wave infrared, red light, and the band of high clouds."""
PERCENTILES = (2, 98)


def false_color_composite(bands: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The three bands of H x W x B that lie nearest to `SHOWN`, in this order: H x W x 3, values as they are.

    Each band is shown once: red takes the nearest of all, green and blue the nearest that is left, so that blue, green,
    red and near infrared become the usual near infrared, red and green. Bands of unknown wavelengths count behind the
    known ones, in their order; of fewer than three bands the last is repeated.
    """
    return bands[..., chosen(names)]


def chosen(names: Sequence[str]) -> list[int]:
    """Which bands `false_color_composite` shows.

    >>> chosen(("blue", "green", "red", "nir")), chosen(("B2", "B3", "B4", "B8", "B11", "B12")), chosen(("red",))
    ([3, 2, 1], [5, 2, 4], [0, 0, 0])
    """
    left = list(range(len(names)))
    taken: list[int] = []
    for wanted in SHOWN:
        if left:
            nearest = min(left, key=lambda place: (abs((wavelength(names[place]) or 1e6) - wanted), place))
            left.remove(nearest)
            taken.append(nearest)
    return taken + taken[-1:] * (len(SHOWN) - len(taken))


def stretched(picture: np.ndarray, like: np.ndarray) -> np.ndarray:
    """H x W x 3 uint8, a channel at a time between the 2nd and the 98th percentile of `like` (H x W x 3)."""
    low, high = np.percentile(like, PERCENTILES, axis=(0, 1))
    share = (picture.astype(np.float64) - low) / np.maximum(high - low, 1e-6)
    return np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
