"""What all patch regressions between two dates of a scene share: radiometric map, windows, features, overlap average.

Scenes are H x W x B float64 reflectance, masks H x W bool with True = missing. Windows are p x p, stride 1, named by
their upper left corners. Source: the method card, 5.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

SMALLEST_DEVIATION = 1e-4
"""A band that varies less than one digital number counts as constant."""


def radiometric_map(target: np.ndarray, reference: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """x̂ = a_b r + c_b for the whole scene, per band by least squares over the clear pixels (H x W x B).

    A band that is constant in the clear part of the reference keeps a = 1; a scene without clear pixels stays as it is.
    """
    clear = ~missing
    if not clear.any():
        return reference.copy()
    out = np.empty_like(reference)
    for band in range(reference.shape[2]):
        r, t = reference[..., band][clear], target[..., band][clear]
        spread = r - r.mean()
        slope = spread @ t / (spread @ spread) if r.std() > SMALLEST_DEVIATION else 1.0
        out[..., band] = t.mean() + slope * (reference[..., band] - r.mean())
    return out


@dataclass(frozen=True)
class Moments:
    """Per band mean and deviation of the clear pixels of the reference."""

    mean: np.ndarray
    deviation: np.ndarray


def moments(reference: np.ndarray, missing: np.ndarray) -> Moments:
    """The moments over clear pixels (over all pixels where none is clear)."""
    clear = reference[~missing] if not missing.all() else reference.reshape(-1, reference.shape[2])
    return Moments(clear.mean(axis=0), np.maximum(clear.std(axis=0), SMALLEST_DEVIATION))


def corners(missing: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Upper left corners of all windows without a missing pixel, and of all with one: two k x 2 integer arrays."""
    touched = sliding_window_view(missing, (side, side)).any(axis=(2, 3))
    return np.argwhere(~touched), np.argwhere(touched)


def windows(image: np.ndarray, places: np.ndarray, side: int) -> np.ndarray:
    """The windows at the corners `places` as rows: k x (side * side * B)."""
    view = sliding_window_view(image, (side, side), axis=(0, 1))
    return view[places[:, 0], places[:, 1]].transpose(0, 2, 3, 1).reshape(len(places), side * side * image.shape[2])


def principal_axes(rows: np.ndarray, energy: float = 0.999) -> np.ndarray:
    """The fewest principal axes (D x d, orthonormal columns) that keep `energy` of the squares of `rows` (k x D).

    Not centred, as in the code of A+: the rows are standardised already. Signs are fixed by the largest component.
    """
    values, vectors = np.linalg.eigh(rows.T @ rows)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    share = np.cumsum(values) / max(values.sum(), 1e-300)
    kept = vectors[:, :int(np.searchsorted(share, energy)) + 1]
    return kept * np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])])


class OverlapAverage:
    """Adds up windows and gives each pixel the mean of all windows that cover it (0 where there is none)."""

    def __init__(self, shape: tuple[int, int, int], side: int) -> None:
        self.side = side
        self.total, self.count = np.zeros(shape), np.zeros(shape[:2])

    def add(self, rows: np.ndarray, places: np.ndarray) -> None:
        """Add windows (k x (side * side * B)) at their corners (k x 2, no corner twice)."""
        patches = rows.reshape(len(rows), self.side, self.side, self.total.shape[2])
        for down in range(self.side):
            for right in range(self.side):
                spot = places[:, 0] + down, places[:, 1] + right
                self.total[spot] += patches[:, down, right]
                self.count[spot] += 1

    def mean(self) -> np.ndarray:
        """The picture of means: H x W x B."""
        return self.total / np.maximum(self.count, 1)[..., None]
