"""How a learning rate moves: functions of (step, steps) that give the factor on a player's initial rate.

`step` counts from 0 within a phase of `steps`. Every name here makes such a function, for `Player.schedule`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

Schedule = Callable[[int, int], float]


def constant(factor: float = 1.0) -> Schedule:
    """The same factor throughout."""
    return lambda step, steps: factor


def drops(table: Mapping[int | str, float]) -> Schedule:
    """1, and `table[step]` from each of these steps on (keys may be texts, as in JSON): `{"200000": 0.1}`."""
    stairs = sorted((int(start), factor) for start, factor in table.items())

    def schedule(step: int, steps: int) -> float:
        return next((factor for start, factor in reversed(stairs) if step >= start), 1.0)

    return schedule


def steps(parts: int, factor: float = 0.1) -> Schedule:
    """Multiplied by `factor` at the start of each but the first of `parts` equal parts of the phase."""
    return lambda step, steps: factor ** (parts * step // steps)


def linear_to_zero(start: float = 0.0) -> Schedule:
    """1 for the share `start` of the phase (0 <= start < 1), then in a straight line towards 0 after the last step."""
    return lambda step, steps: min(1.0, (1 - step / steps) / (1 - start))


def cosine(end: float = 0.0, before: int = 0, whole: int | None = None) -> Schedule:
    """Half a cosine from 1 to `end`, over the phase or, with `whole`, over so many steps of which `before` were done in
    earlier phases."""

    def schedule(step: int, steps: int) -> float:
        share = (before + step) / max(1, steps if whole is None else whole)
        return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * share))

    return schedule


def warm_cosine(warm_up: int, end: float = 0.0) -> Schedule:
    """`cosine(end)`, times a straight rise to 1 over the first `warm_up` steps (none with 0 or 1)."""
    fall = cosine(end)
    return lambda step, steps: min(1.0, (step + 1) / max(1, warm_up)) * fall(step, steps)
