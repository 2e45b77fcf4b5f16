"""How a learning rate moves: functions of (step, steps) that give the factor on a player's initial rate.

`step` counts from 0 within a phase of `steps`. Every name here makes such a function, for `Player.schedule`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[int, int], float]


def constant(factor: float = 1.0) -> Schedule:
    """The same factor throughout."""
    return lambda step, steps: factor


def cosine(end: float = 0.0, before: int = 0, whole: int | None = None) -> Schedule:
    """Half a cosine from 1 to `end`, over the phase or, with `whole`, over so many steps of which `before` were done in
    earlier phases."""

    def schedule(step: int, steps: int) -> float:
        share = (before + step) / max(1, steps if whole is None else whole)
        return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * share))

    return schedule
