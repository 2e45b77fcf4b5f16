"""A comparison as text: Markdown for reading on a page, plain columns for a terminal."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

from restore_ml.base import layout
from restore_ml.evaluation import published
from restore_ml.evaluation.published import Printed, with_printed
from restore_ml.evaluation.words import counted, groups
from restore_ml.tasks.protocol import CAP, Metric, Protocol, protocol, with_distances, with_figures

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas

WIDTH = 120
NAME, OTHERS = 28, 3
"""Columns that a run's name gets before other metrics do, and the most of these."""
TERMINAL = 20
"""Rows of a table that a rebuild prints for each task."""
NAMED = 3
"""Runs that are named of those that did not finish for the same reason."""
DONE = ("ok", "partly failed")
"""The statuses of runs that have figures."""
_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def markdown(task: str, table: pandas.DataFrame, printed: Mapping[str, Printed] | None = None) -> str:
    """A heading, how to read it, then one table per case, the primary case first; at the end what sources print.

    `printed`: by case, the figures that may stand in its measured rows (`published.agreeing`).
    """
    rules = with_figures(protocol(task), table)
    lines = [f"# {task}", "",
             f"Ranked by {rules.primary} on the primary case. Brackets: 95 % bootstrap interval over {groups(task)}. "
             f"Differences are paired by picture and positive where the run is better. Arrows: which way is better. "
             f"† our reading of a source that says too little.", ""]
    lines += [rules.reading, ""] if rules.reading else []
    if table.empty:
        lines += ["Nothing was scored.", ""]
    for case, rows in table.groupby("case", sort=False):
        first = rows.iloc[0]
        marks = " (primary case)" * bool(first["primary"]) + " (synthetic)" * bool(first["synthetic"])
        lines += [f"## {case}{marks}", "", f"{counted(task, first['pictures'], first['groups'])}. "
                  + (f"Baseline: {first['baseline']}." if first["baseline"] else "No baseline was run."), ""]
        note = ceiling(rules, rows)
        lines += [note, ""] if note else []
        headings = _headings(rules)
        lines += [_line(headings), _line(["---"] * len(headings))]
        known = (printed or {}).get(case, {})
        lines += [_line(_cells(rules, row, known)) for row in rows.to_dict("records")] + [""]
    readings = table.drop_duplicates("run")
    notes = [f"- {row['run']}: {row['reading']}" for row in readings.sort_values("run").to_dict("records")
             if row["reading"]]
    lines += ["## Readings", "", *notes, ""] if notes else []
    return "\n".join(lines + published.markdown(task))


def _headings(rules: Protocol) -> list[str]:
    first = rules.metric(rules.primary)
    others = [metric.heading for metric in rules.metrics if metric is not first]
    return ["rank", "run", f"{first.heading} [95 %]", *others, "vs baseline", "wins", "pictures", "parameters",
            "training multiply-adds", "status"]


def _cells(rules: Protocol, row: dict[str, Any], printed: Printed) -> list[str]:
    first = rules.metric(rules.primary)
    others = [with_printed(number(row[metric.name], metric.digits), printed, row["method"], metric.name)
              for metric in rules.metrics if metric is not first]
    status = row["status"] + (f": {row['reason']}" if row["reason"] else "")
    ranking = interval(row[first.name], row[f"{first.name}_low"], row[f"{first.name}_high"], first.digits)
    return [_rank(row["rank"]), named(row) + (" †" if row["reading"] else ""),
            with_printed(ranking, printed, row["method"], first.name), *others,
            interval(row["vs_baseline"], row["vs_baseline_low"], row["vs_baseline_high"], first.digits, signed=True),
            str(row["wins"]), f"{row['pictures_ok']}/{row['pictures']}", count(row["parameters"]),
            count(row["training_ops"]), status]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _rank(value: Any) -> str:
    return "–" if value is None or math.isnan(value) else str(int(value))


def ceiling(rules: Protocol, rows: pandas.DataFrame) -> str:
    """A sentence where pictures of a case count less than they measured, else an empty text."""
    most = int(rows["capped"].max()) if "capped" in rows and len(rows) else 0  # a table of an earlier build has none
    if not most:
        return ""
    return (f"A picture counts at most {CAP:g} dB in {rules.primary}: beyond that, an error is smaller than rounding "
            f"to 8 bits makes and nobody sees it. So it is with up to {most} of the {int(rows['pictures'].iloc[0])} "
            "pictures of a run.")


def named(row: dict[str, Any]) -> str:
    """A run as tables name it; outputs of another tool are marked."""
    return f"{row['run']} ({layout.OUTSIDE})" if row["method"] == layout.OUTSIDE else str(row["run"])


def tied(row: dict[str, Any]) -> bool:
    """Whether a ranked run other than the first cannot be told from it: the interval of their difference holds 0."""
    return (not (row["rank"] is None or math.isnan(row["rank"])) and row["rank"] > 1
            and not math.isnan(row["vs_best_high"]) and row["vs_best_low"] <= 0 <= row["vs_best_high"])


def number(value: float, digits: int, signed: bool = False) -> str:
    """A figure with so many digits; a dash for NaN."""
    if math.isnan(value):
        return "–"
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"


def interval(mean: float, low: float, high: float, digits: int, signed: bool = False) -> str:
    """`31.71 [30.10, 33.02]`; without brackets where there is no interval."""
    text = number(mean, digits, signed)
    return text if math.isnan(low) else f"{text} [{number(low, digits, signed)}, {number(high, digits, signed)}]"


def count(value: float) -> str:
    """A large count in three digits and a prefix: 664,704 -> `665k`."""
    if math.isnan(value):
        return "–"
    for size, prefix in _PREFIXES:
        if value >= size:
            return f"{value / size:.3g}{prefix}"
    return f"{value:.0f}"


def console_table(task: str, table: pandas.DataFrame, case: str | None = None, most: int | None = None) -> str:
    """One case (the primary one unless named) as plain text of at most 120 columns: rank, run, the primary metric with
    its interval, up to three others, difference to the baseline, parameters, and where joined the costs; then who did
    not finish, with the reason. `table` is that of `comparison.build_table`, with or without `join_costs`.

    `most`: the most rows that are shown, the best ones and the baseline (None: all); what is left out is said.
    """
    rules = with_distances(protocol(task), table.columns)
    rows = table[table["case"] == case] if case else table[table["primary"].astype(bool)]
    if rows.empty:
        return f"{task}: nothing was scored for {case or 'the primary case'}."
    first = rows.iloc[0]
    title = f"{task}, {first['case']}, {counted(task, first['pictures'], first['groups'])}"
    lines = [title + (", synthetic" if first["synthetic"] else "")]
    done = [row for row in rows.to_dict("records") if row["status"] in DONE]
    shown = best_rows(done, most)
    others = _shown(rules, rows, shown)
    if shown:
        lines += _aligned([_console_headings(rules, rows, others),
                           *(_console_cells(rules, row, others) for row in shown)])
    left_out = [metric.name for metric in _measured(rules, shown) if metric not in others]
    if len(shown) < len(done):
        lines.append(f"{len(done) - len(shown)} more runs: `restore-ml compare {task}` prints them all.")
    if left_out:
        lines += textwrap.wrap(f"Not shown: {', '.join(left_out)}; comparison/{task}/table.md has all figures.", WIDTH)
    note = ceiling(rules, rows)
    return "\n".join([*lines, *textwrap.wrap(note, WIDTH), *_unfinished(rows.to_dict("records"))])


def best_rows(rows: list[dict[str, Any]], most: int | None) -> list[dict[str, Any]]:
    """The first `most` of a case's rows; the baseline takes the last place where it would be left out."""
    if most is None or len(rows) <= most:
        return rows
    baseline = [row for row in rows[most - 1 :] if row["run"] == row["baseline"]]
    return [*rows[: most - len(baseline)], *baseline]


def _unfinished(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each reason for which runs did not finish, with the runs' names."""
    why: dict[str, list[str]] = {}
    for row in rows:
        if row["status"] != "ok":
            why.setdefault(f"{row['status']}, {row['reason']}", []).append(row["run"])
    return [_cut(f"{', '.join(runs[:NAMED])}{f' and {len(runs) - NAMED} more' * (len(runs) > NAMED)}: {reason}")
            for reason, runs in why.items()]


def _shown(rules: Protocol, rows: pandas.DataFrame, shown: list[dict[str, Any]]) -> list[Metric]:
    """The metrics beside the primary one: those that some run has, at most three, fewer where names need the room."""
    others = _measured(rules, shown)[:OTHERS]
    room = min(NAME, max((len(named(row)) for row in shown), default=0))
    while others and _spare([_console_headings(rules, rows, others),
                             *(_console_cells(rules, row, others) for row in shown)]) < room:
        others.pop()
    return others


def _measured(rules: Protocol, shown: list[dict[str, Any]]) -> list[Metric]:
    """The metrics beside the primary one that some of the rows have."""
    return [metric for metric in rules.metrics
            if metric.name != rules.primary and any(not math.isnan(row[metric.name]) for row in shown)]


def _console_headings(rules: Protocol, rows: pandas.DataFrame, others: list[Metric]) -> list[str]:
    costs = ["train s", "ms/MP"] if "training_seconds" in rows else []
    return ["#", "run", f"{rules.primary} [95 %]", *(metric.name for metric in others), "vs baseline", "params", *costs]


def _console_cells(rules: Protocol, row: dict[str, Any], others: list[Metric]) -> list[str]:
    first = rules.metric(rules.primary)
    costs = ([number(row["training_seconds"], 0), number(row["ms_per_megapixel"], 0)] if "training_seconds" in row
             else [])
    return [_rank(row["rank"]), named(row),
            interval(row[first.name], row[f"{first.name}_low"], row[f"{first.name}_high"], first.digits),
            *(number(row[metric.name], metric.digits) for metric in others),
            interval(row["vs_baseline"], row["vs_baseline_low"], row["vs_baseline_high"], first.digits, signed=True),
            count(row["parameters"]), *costs]


def _spare(rows: list[list[str]]) -> int:
    """The columns that are left for the runs' names."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return WIDTH - sum(widths) + widths[1] - 2 * (len(widths) - 1)


def _aligned(rows: list[list[str]]) -> list[str]:
    """Columns two blanks apart, the run to the left, figures to the right; long run names lose their middle, since what
    tells one from another often stands at the end."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    widths[1] = max(6, min(widths[1], _spare(rows)))
    lines = []
    for row in rows:
        cells = [_without_middle(cell, width).ljust(width) if index == 1 else cell.rjust(width)
                 for index, (cell, width) in enumerate(zip(row, widths, strict=True))]
        lines.append(_cut("  ".join(cells).rstrip()))
    return lines


def _without_middle(name: str, width: int) -> str:
    if len(name) <= width:
        return name
    end = (width - 1) // 2
    return f"{name[: width - 1 - end]}…{name[len(name) - end :]}"


def _cut(text: str, width: int = WIDTH) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
