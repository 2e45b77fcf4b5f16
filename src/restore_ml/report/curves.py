"""Learning curves: the loss terms of models/<run>/history.csv as small drawings, one for each player of a run.

A history may hold a hundred thousand lines; what is drawn are means over `POINTS` equal stretches of each phase.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

from restore_ml import layout
from restore_ml.evaluation.tables import count

POINTS = 60
"""Drawn of a term in a phase."""
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 360.0, 150.0, 44.0, 18.0, 16.0
DECADES = 1.3
"""Charts whose positive values span more powers of ten than this have a logarithmic axis."""
COLOURS = 8
"""Terms beyond that many share colours with earlier ones (and keep their own dash)."""


def learning_curves(root: Path, task: str, runs: list[str]) -> list[dict[str, Any]]:
    """For each of the runs that has a history: `run`, `steps` and its `charts`, in the order of `runs`."""
    found = []
    for run in runs:
        phases = read_history(root / layout.model(task, run) / "history.csv")
        if phases:
            found.append({"run": run, "steps": sum(last for _, last, _ in phases), "charts": _charts(phases)})
    return found


Phase = tuple[str, int, dict[str, list[tuple[int, float]]]]
"""A phase's name, how many steps it has (as far as logged) and its terms' points (step, value)."""


def read_history(path: Path) -> list[Phase]:
    """The phases in their order. A missing file and unfinished lines are nothing."""
    phases: dict[str, dict[str, list[tuple[int, float]]]] = {}
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            try:
                step, value = int(line["step"]), float(line["value"])
            except (KeyError, TypeError, ValueError):
                continue
            if math.isfinite(value):
                phases.setdefault(line["phase"], {}).setdefault(line["term"], []).append((step, value))
    return [(name, 1 + max(step for points in terms.values() for step, _ in points), terms)
            for name, terms in phases.items()]


def _charts(phases: list[Phase]) -> list[dict[str, Any]]:
    """One chart for each player (`generator` of `generator.mse`), in the order in which they first appear."""
    players = dict.fromkeys(term.partition(".")[0] for _, _, terms in phases for term in terms)
    return [_chart(player, phases) for player in players]


def _chart(player: str, phases: list[Phase]) -> dict[str, Any]:
    own = [(name, steps, {term: means(points, steps) for term, points in terms.items()
                          if term.partition(".")[0] == player}) for name, steps, terms in phases]
    terms = list(dict.fromkeys(term for _, _, points in own for term in points))
    values = [value for _, _, points in own for line in points.values() for _, value in line]
    axis = Axis(values)
    total = max(sum(steps for _, steps, _ in own), 1)
    across = (WIDTH - LEFT - 6) / total
    bands, offset = [], 0
    lines: dict[str, list[str]] = {term: [] for term in terms}
    for name, steps, points in own:
        bands.append({"name": name, "x": round(LEFT + offset * across, 1), "width": round(steps * across, 1),
                      "steps": steps})
        for term, line in points.items():
            places = [f"{LEFT + (offset + step) * across:.1f},{axis.place(value):.1f}" for step, value in line]
            lines[term].append(" ".join(places))
        offset += steps
    last = {term: line[-1][1] for _, _, points in own for term, line in points.items()}
    return {"player": player, "bands": bands, "ticks": axis.ticks(), "logarithmic": axis.logarithmic,
            "steps": count(total), "width": WIDTH, "height": HEIGHT, "left": LEFT, "bottom": HEIGHT - BOTTOM,
            "terms": [{"name": term.partition(".")[2] or term, "colour": place % COLOURS, "dashed": place >= COLOURS,
                       "lines": lines[term], "last": f"{last[term]:.3g}"} for place, term in enumerate(terms)]}


def means(points: list[tuple[int, float]], steps: int, most: int = POINTS) -> list[tuple[float, float]]:
    """At most `most` points: means of step and value over equal stretches of the phase's `steps`; nothing is left
    out."""
    found: dict[int, list[tuple[int, float]]] = {}
    for step, value in points:
        found.setdefault(step * most // steps, []).append((step, value))
    return [(sum(step for step, _ in part) / len(part), sum(value for _, value in part) / len(part))
            for _, part in sorted(found.items())]


class Axis:
    """The upright axis: logarithmic where all values are positive and span more than `DECADES`."""

    def __init__(self, values: list[float]) -> None:
        low, high = min(values), max(values)
        self.logarithmic = low > 0 and math.log10(high / low) > DECADES
        if self.logarithmic:
            low, high = math.log10(low), math.log10(high)
        elif low >= 0 and low < 0.5 * high:
            low = 0.0
        room = 0.04 * (high - low) or max(abs(high), 1.0) * 0.5
        self.low, self.high = (low if low == 0 and not self.logarithmic else low - room), high + room

    def place(self, value: float) -> float:
        """Pixels from the top."""
        level = math.log10(value) if self.logarithmic else value
        return TOP + (self.high - level) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)

    def ticks(self) -> list[dict[str, Any]]:
        """Two to five round values with their places."""
        if self.logarithmic:
            decades = range(math.ceil(self.low), math.floor(self.high) + 1)
            found = [10.0 ** power for power in decades][:: max(1, math.ceil(len(decades) / 5))]
            if len(found) < 2:
                found = [10 ** (self.low + share * (self.high - self.low)) for share in (0.1, 0.5, 0.9)]
        else:
            step = nice((self.high - self.low) / 3)
            found = [step * place for place in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return [{"y": round(self.place(value), 1), "text": f"{float(f'{value:.2g}'):g}"} for value in found]


def nice(step: float) -> float:
    """The nearest step of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return power * min((1, 2, 5, 10), key=lambda factor: abs(factor - step / power))
