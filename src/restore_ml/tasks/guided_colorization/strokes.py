"""A person's stroke as pixels: a line of any width, with round ends and corners.

OpenCV and Pillow draw lines of whole widths, each by a rule of its own at ends and corners; so the rule stands here.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

PIECE = 32
"""A segment is looked at in pieces of at most so many pixels, or its width: of each only what lies about it."""


def stroke(places: np.ndarray, width: float, size: tuple[int, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows and columns of the pixels of a picture of `size` (height, width) that are beneath a stroke through `places`
    (P x 2, (x, y) of pixel centres, at least one), some at a time; one may come several times.

    Beneath it are the pixels whose centres are no farther than half of `width` from the line, and those that its points
    lie in; what lies beyond the edge is cut off. From a width of 1 on the line has no gap.
    """
    points = places.astype(np.float64)
    columns, rows = np.floor(points + 0.5).astype(np.int64).T
    inside = (columns >= 0) & (rows >= 0) & (columns < size[1]) & (rows < size[0])
    yield rows[inside], columns[inside]
    for start, end in pairwise(points if len(points) > 1 else points.repeat(2, 0)):
        count = max(1, int(np.ceil(np.linalg.norm(end - start) / max(PIECE, width))))
        knots = start + np.linspace(0, 1, count + 1)[:, None] * (end - start)
        for first, last in pairwise(knots):
            yield _near(first, last, width / 2, size)


def _near(start: np.ndarray, end: np.ndarray, reach: float, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels whose centres are within `reach` of a short segment."""
    left, top = np.maximum(np.ceil(np.minimum(start, end) - reach), 0).astype(int)
    right, bottom = np.minimum(np.floor(np.maximum(start, end) + reach) + 1, size[::-1]).astype(int)
    along, x, y = end - start, np.arange(left, right) - start[0], np.arange(top, bottom)[:, None] - start[1]
    share = np.clip((x * along[0] + y * along[1]) / max(float(along @ along), 1e-12), 0, 1)
    rows, columns = np.nonzero(np.square(x - share * along[0]) + np.square(y - share * along[1]) <= reach * reach)
    return rows + top, columns + left
