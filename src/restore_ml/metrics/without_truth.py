"""Figures of a restored picture whose truth nobody knows. They describe; none of them says which picture is right.

Pictures are H x W x C of any range and type; masks are H x W or H x W x 1, non-zero = restored.
"""

from __future__ import annotations

import numpy as np

from restore_ml.metrics.fidelity import Array
from restore_ml.metrics.hole import missing

WORDS = {
    "grain": "the deviation of the noise that the finest diagonal wavelets show: what a smoothed picture has lost",
    "seam": "how large steps across the rim of the restored part are, in steps between known neighbours beside it: "
            "at 1 nobody sees the rim by them",
}
"""What a reader must know of each figure."""
NORMAL = 0.6744897501960817
"""The median of the absolute value of a standard normal number."""
BESIDE = 3
"""Pixels from the rim within which known neighbours are compared with it."""


def grain(picture: Array, where: Array | None = None) -> float:
    """The deviation of white noise, in the picture's units: the median absolute value of the finest diagonal Haar
    coefficients of all channels over that of a standard normal number (Donoho and Johnstone 1994).

    `where`: only blocks of 2 x 2 pixels that lie in it whole. NaN where there is none.
    """
    even = picture[:picture.shape[0] // 2 * 2, :picture.shape[1] // 2 * 2].astype(np.float64)
    diagonal = (even[::2, ::2] - even[::2, 1::2] - even[1::2, ::2] + even[1::2, 1::2]) / 2
    if where is not None:
        inside = missing(where)[:even.shape[0], :even.shape[1]]
        diagonal = diagonal[inside[::2, ::2] & inside[::2, 1::2] & inside[1::2, ::2] & inside[1::2, 1::2]]
    return float(np.median(np.abs(diagonal)) / NORMAL) if diagonal.size else float("nan")


def seam(restored: Array, mask: Array) -> float:
    """The mean absolute step between 4-neighbours of which exactly one was restored, over that between known
    4-neighbours both of which lie within `BESIDE` pixels of what was restored.

    NaN where there is no rim, no known neighbours beside it, or no step between those (a flat surrounding).
    """
    import cv2

    hole = missing(mask)
    size = 2 * BESIDE + 1
    near = cv2.dilate(hole.astype(np.uint8), np.ones((size, size), np.uint8)) > 0
    across, beside = [], []
    values = restored.astype(np.float64)
    for axis in (0, 1):
        steps = np.abs(np.diff(values, axis=axis))
        first, second = (_part(hole, axis, end) for end in (slice(None, -1), slice(1, None)))
        both_near = _part(near, axis, slice(None, -1)) & _part(near, axis, slice(1, None))
        across.append(steps[first != second].ravel())
        beside.append(steps[both_near & ~first & ~second].ravel())
    rim, known = np.concatenate(across), np.concatenate(beside)
    if not rim.size or not known.size or not known.mean():
        return float("nan")
    return float(rim.mean() / known.mean())


def _part(values: Array, axis: int, part: slice) -> Array:
    return values[part] if axis == 0 else values[:, part]
