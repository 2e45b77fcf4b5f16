"""How the champion and the baseline stand up to a degradation of rising strength, as a drawing: a line each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from restore_ml.evaluation.scoring import read_scores
from restore_ml.evaluation.tables import number
from restore_ml.promotion import champion_scores, sweeps
from restore_ml.report.svg import Axis, line
from restore_ml.tasks.protocol import protocol

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 360.0, 170.0, 44.0, 10.0, 22.0, 10.0


def chart(root: Path, task: str, champion: str) -> dict[str, Any] | None:
    """The mean of the metric that ranks at each strength (`restore_ml.promotion.sweeps`); None where the task has no
    sweep, or where the champion of today has none yet. `champion`: its run."""
    rules = protocol(task)
    if rules.sweep is None or not champion or not champion_scores.is_current(root, task):
        return None
    rows = sweeps.of_sweep(task, read_scores(champion_scores.path(root, task)))
    metric = rules.metric(rules.primary)
    means = rows.groupby(["run", "strength"])[metric.name].mean().dropna()
    lines = {str(run): [(float(strength), float(value)) for strength, value in own.droplevel("run").items()]
             for run, own in means.groupby(level="run")}
    if not lines:
        return None
    values = [value for points in lines.values() for _, value in points]
    low, high = min(values), max(values)
    up = Axis(low - 0.08 * (high - low or 1), high + 0.08 * (high - low or 1), HEIGHT - BOTTOM, TOP)
    across = Axis(0, max(rules.sweep.strengths), LEFT, WIDTH - RIGHT)
    ordered = sorted(lines, key=lambda run: not run.startswith("champion "))
    return {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT, "bottom": HEIGHT - BOTTOM,
            "metric": metric.heading, "unit": metric.unit, "meaning": rules.sweep.meaning,
            "case": str(rows["case"].iloc[0]).partition("/")[0], "pictures": int(rows["picture"].nunique()),
            "strengths": [{"place": across.place(strength), "text": str(strength)}
                          for strength in rules.sweep.strengths],
            "ticks": up.ticks(),
            "lines": [{"name": f"{champion} (champion)" if run.startswith("champion ") else run, "colour": place,
                       "points": line(lines[run], across, up),
                       "values": [{"strength": f"{strength:g}", "value": number(value, metric.digits),
                                   "x": across.place(strength), "y": up.place(value)}
                                  for strength, value in lines[run]]} for place, run in enumerate(ordered)]}
