"""Where values lie in a drawing: an axis with round ticks, bars from zero, a line of points. Plain numbers for the
templates, which hold the marks themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

DECADES = 1.3
"""An axis whose positive values span more powers of ten than this is logarithmic."""


@dataclass(frozen=True)
class Axis:
    """From the value `low` at the pixel `start` to `high` at `end` (upright axes: `start` below `end`'s pixel).

    `low` and `high` are logarithms to the base ten where it is `logarithmic`.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    @classmethod
    def around(cls, values: list[float], start: float, end: float, *, zero: bool = False) -> Axis:
        """An axis that holds all `values` with 4 % of room: logarithmic where they are positive and span more than
        `DECADES`, else from zero where the lowest is near it. `zero`: holds zero, linear, without room."""
        low, high = min(values, default=0.0), max(values, default=0.0)
        if zero:
            low, high = min(low, 0.0), max(high, 0.0)
            return cls(low, high if high > low else low + 1.0, start, end)
        logarithmic = low > 0 and math.log10(high / low) > DECADES
        if logarithmic:
            low, high = math.log10(low), math.log10(high)
        elif low >= 0 and low < 0.5 * high:
            low = 0.0
        room = 0.04 * (high - low) or max(abs(high), 1.0) * 0.5
        return cls(low if low == 0 and not logarithmic else low - room, high + room, start, end, logarithmic)

    def place(self, value: float) -> float:
        """The pixel of a value; what lies beyond an end is drawn there."""
        level = math.log10(value) if self.logarithmic else value
        share = (min(max(level, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self) -> list[dict[str, Any]]:
        """Two to five round values: `place` and `text`."""
        if self.logarithmic:
            decades = range(math.ceil(self.low), math.floor(self.high) + 1)
            values = [10.0 ** power for power in decades][:: max(1, math.ceil(len(decades) / 5))]
            if len(values) < 2:
                values = [10 ** (self.low + share * (self.high - self.low)) for share in (0.1, 0.5, 0.9)]
        else:
            step = nice((self.high - self.low) / 3)
            values = [step * place for place in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return [{"place": self.place(value), "text": f"{float(f'{value:.2g}'):g}"} for value in values]

    def bar(self, value: float) -> dict[str, Any]:
        """A bar from zero to the value: the lower pixel of its two ends, its length, and whether it is a gain."""
        zero, end = self.place(0.0), self.place(value)
        return {"from": min(zero, end), "length": round(abs(end - zero), 2), "better": value > 0}


def nice(step: float) -> float:
    """The nearest step of 1, 2 or 5 times a power of ten.

    >>> nice(0.27), nice(13.0)
    (0.2, 10.0)
    """
    power = 10.0 ** math.floor(math.log10(step))
    return power * min((1, 2, 5, 10), key=lambda factor: abs(factor - step / power))


def line(points: list[tuple[float, float]], across: Axis, up: Axis) -> str:
    """The points (x, y) as SVG's `points`."""
    return " ".join(f"{across.place(x):.1f},{up.place(y):.1f}" for x, y in points)
