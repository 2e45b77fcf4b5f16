"""The leaderboard of a case: ranks, ties, the difference to the first run with its paired interval drawn, all figures.

Everything drawn is a column of comparison/<task>/table.csv; nothing is estimated here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_ml.evaluation.published import Printed, with_printed
from restore_ml.evaluation.tables import ceiling, count, interval, number, tied
from restore_ml.evaluation.words import counted
from restore_ml.report.svg import Axis
from restore_ml.tasks.protocol import Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

WIDTH, MARGIN = 190.0, 8.0
"""Of a drawn interval, in CSS pixels."""
REACH = 2.0
"""The drawing reaches to that many times the median distance from the first; what lies beyond gets an arrow, so that
one hopeless run does not press all others onto the line."""


def board(rules: Protocol, rows: pd.DataFrame, champion: str, kinds: Mapping[str, str] | None = None,
          printed: Printed | None = None) -> dict[str, Any]:
    """The rows of one case as plain values for the template: `headings`, `rows`, `counted` (what was tested, in words)
    and the marks.

    `kinds`: what the method of each run is, in a word or two; `printed`: the figures that sources print for this case.
    """
    first = rows.iloc[0]
    records = rows.to_dict("records")
    axis = scale(records)
    baseline = next((row["vs_best"] for row in records if row["run"] == row["baseline"]), math.nan)
    return {"name": str(first["case"]), "primary": bool(first["primary"]), "synthetic": bool(first["synthetic"]),
            "counted": counted(rules.task, int(first["pictures"]), int(first["groups"])), "headings": headings(rules),
            "rows": [_row(rules, row, axis, baseline, champion, printed or {})
                     | {"kind": (kinds or {}).get(row["run"], "")} for row in records],
            "kinds": sorted({(kinds or {}).get(row["run"], "") for row in records} - {""}),
            "ceiling": ceiling(rules, rows), "ties": sum(tied(row) for row in records),
            "alone": int(first["groups"]) < 2, "metric": rules.metric(rules.primary).heading}


def headings(rules: Protocol) -> list[str]:
    """Of the columns right of the run's name; the first one is the drawing."""
    first = rules.metric(rules.primary)
    others = [metric.heading for metric in rules.metrics if metric is not first]
    return ["difference to the first", f"{first.heading} [95 %]", "vs baseline", "wins", "parameters", "ms / megapixel",
            "training s", *others, "pictures", "training multiply-adds", "memory MB"]


def scale(rows: list[dict[str, Any]]) -> Axis:
    """Where a difference to the first run lies in the drawing; what lies beyond is drawn at its edge."""
    ends = [value for row in rows for value in (row["vs_best"], row["vs_best_low"], row["vs_best_high"])
            if not math.isnan(value)]
    far = [abs(min(row["vs_best"], row["vs_best_low"]) if not math.isnan(row["vs_best_low"]) else row["vs_best"])
           for row in rows if not math.isnan(row["vs_best"]) and row["vs_best"] != 0]
    lowest, high = min(ends, default=0.0), max([*ends, 0.0])
    low = max(lowest, -REACH * float(np.median(far))) if far else min(lowest, 0.0)
    if high - low < 1e-12:
        low, high = -1.0, 1.0
    return Axis(low, high, MARGIN, WIDTH - MARGIN)


def _row(rules: Protocol, row: dict[str, Any], axis: Axis, baseline: float, champion: str,
         printed: Printed) -> dict[str, Any]:
    return {"rank": None if math.isnan(_rank(row)) else int(_rank(row)), "run": row["run"], "method": row["method"],
            "status": row["status"], "reason": row["reason"], "reading": row["reading"], "tied": tied(row),
            "baseline": row["run"] == row["baseline"], "champion": row["run"] == champion,
            "drawing": _drawing(rules, row, axis, baseline),
            "cells": [(text, "" if math.isnan(value) else f"{value:.9g}")
                      for text, value in _cells(rules, row, printed)]}


def _rank(row: dict[str, Any]) -> float:
    return math.nan if row["rank"] is None else float(row["rank"])


def _drawing(rules: Protocol, row: dict[str, Any], axis: Axis, baseline: float) -> dict[str, Any] | None:
    """The places of the line of the first, the baseline, the mean and the interval's ends; None without a mean."""
    mean, low, high = row["vs_best"], row["vs_best_low"], row["vs_best_high"]
    if math.isnan(mean):
        return None
    digits = rules.metric(rules.primary).digits
    certain = not math.isnan(low)
    leads = _rank(row) == 1
    text = "the first" if leads else interval(mean, low, high, digits, signed=True)
    return {"width": WIDTH, "zero": axis.place(0), "mean": axis.place(mean), "value": f"{mean:.9g}", "text": text,
            "low": axis.place(low) if certain else None, "high": axis.place(high) if certain else None,
            "baseline": axis.place(baseline) if axis.low <= baseline and baseline != 0 else None,
            "beyond": mean < axis.low, "cut": certain and low < axis.low, "leads": leads,
            "label": number(mean, digits, signed=True)}


def _cells(rules: Protocol, row: dict[str, Any], printed: Printed) -> list[tuple[str, float]]:
    first = rules.metric(rules.primary)
    others = [(with_printed(number(row[metric.name], metric.digits), printed, row["method"], metric.name),
               row[metric.name]) for metric in rules.metrics if metric is not first]
    ranking = interval(row[first.name], row[f"{first.name}_low"], row[f"{first.name}_high"], first.digits)
    return [(with_printed(ranking, printed, row["method"], first.name), row[first.name]),
            (interval(row["vs_baseline"], row["vs_baseline_low"], row["vs_baseline_high"], first.digits, signed=True),
             row["vs_baseline"]),
            (str(row["wins"]), row["wins"]), (count(row["parameters"]), row["parameters"]),
            (number(row["ms_per_megapixel"], 0), row["ms_per_megapixel"]),
            (number(row["training_seconds"], 0), row["training_seconds"]), *others,
            (f"{row['pictures_ok']}/{row['pictures']}", row["pictures_ok"]),
            (count(row["training_ops"]), row["training_ops"]),
            (number(row["peak_memory_mb"], 0), row["peak_memory_mb"])]
