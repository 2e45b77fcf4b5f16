"""Learning curves: the loss terms of models/<run>/history.csv as small drawings, one for each player of a run.

A history may hold a hundred thousand lines; what is drawn are means over `POINTS` equal stretches of each phase.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

from restore_ml.base import layout
from restore_ml.evaluation.tables import count
from restore_ml.report.svg import Axis, line

POINTS = 60
"""Drawn of a term in a phase."""
WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 360.0, 150.0, 44.0, 6.0, 18.0, 16.0
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
        for row in csv.DictReader(file):
            try:
                step, value = int(row["step"]), float(row["value"])
            except (KeyError, TypeError, ValueError):
                continue
            if math.isfinite(value):
                phases.setdefault(row["phase"], {}).setdefault(row["term"], []).append((step, value))
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
    values = [value for _, _, points in own for series in points.values() for _, value in series]
    up = Axis.around(values, HEIGHT - BOTTOM, TOP)
    total = max(sum(steps for _, steps, _ in own), 1)
    across = Axis(0, total, LEFT, WIDTH - RIGHT)
    bands, offset = [], 0
    lines: dict[str, list[str]] = {term: [] for term in terms}
    for name, steps, points in own:
        start = across.place(offset)
        bands.append({"name": name, "x": start, "width": round(across.place(offset + steps) - start, 2),
                      "steps": steps})
        for term, series in points.items():
            lines[term].append(line([(offset + step, value) for step, value in series], across, up))
        offset += steps
    last = {term: series[-1][1] for _, _, points in own for term, series in points.items()}
    return {"player": player, "bands": bands, "ticks": up.ticks(), "logarithmic": up.logarithmic,
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
