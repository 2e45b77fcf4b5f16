"""The simulator of hints: the colour of small squares of the true picture, as a person would dab it on.

Source: Zhang et al., "Real-time user-guided image colorization with learned deep priors", SIGGRAPH 2017, and the
authors' code; the method card `user_hints`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from restore_ml.arrays import Arrays


def hints(ab: np.ndarray, count: int, sides: Sequence[int], rng: np.random.Generator) -> Arrays:
    """`count` squares of the true `ab` (H x W x 2): `hint` (H x W x 2 float32, their colours, 0 elsewhere) and `hinted`
    (H x W x 1 float32, 1 where a colour is given, else 0).

    The side of a square is uniform between the two of `sides` (at most the picture's); its corner is normal about the
    corner of the square in the middle, with a quarter of the free length as deviation, held inside the picture; its
    colour is the mean of the true one in it. A later square covers an earlier one. The draws of a point do not depend
    on `count`, so that the points of a smaller number are the first ones of a larger one.
    """
    height, width = ab.shape[:2]
    hint, hinted = np.zeros((height, width, 2), np.float32), np.zeros((height, width, 1), np.float32)
    for _ in range(count):
        side = min(int(rng.integers(sides[0], sides[1] + 1)), height, width)
        top, left = (int(np.clip(rng.normal(free / 2, free / 4), 0, free - 1))
                     for free in (height - side + 1, width - side + 1))
        place = np.s_[top:top + side, left:left + side]
        hint[place] = ab[place].mean((0, 1))
        hinted[place] = 1
    return {"hint": hint, "hinted": hinted}


def number_of_hints(rate: float, rng: np.random.Generator) -> int:
    """How many points a training picture has: n with the probability rate (1 - rate)^n, 0 among them."""
    return int(rng.geometric(rate)) - 1
