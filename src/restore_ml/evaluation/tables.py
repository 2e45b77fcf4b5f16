"""A comparison as text: Markdown for reading on a page, plain columns for a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from restore_ml.evaluation.protocol import Protocol, protocol, with_distances

if TYPE_CHECKING:
    import pandas

WIDTH = 120
_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def markdown(task: str, table: pandas.DataFrame) -> str:
    """A heading, how to read it, then one table per case, the primary case first."""
    rules = with_distances(protocol(task), table.columns)
    lines = [f"# {task}", "",
             f"Ranked by {rules.primary} on the primary case. Brackets: 95 % bootstrap interval over photographs. "
             f"Differences are paired by picture and positive where the run is better. Arrows: which way is better. "
             f"† our reading of a source that says too little.", ""]
    if table.empty:
        lines += ["Nothing was scored.", ""]
    for case, rows in table.groupby("case", sort=False):
        first = rows.iloc[0]
        marks = " (primary case)" * bool(first["primary"]) + " (synthetic)" * bool(first["synthetic"])
        lines += [f"## {case}{marks}", "", f"{first['pictures']} pictures of {first['groups']} photographs. "
                  + (f"Baseline: {first['baseline']}." if first["baseline"] else "No baseline was run."), ""]
        headings = _headings(rules)
        lines += [_line(headings), _line(["---"] * len(headings))]
        lines += [_line(_cells(rules, row)) for row in rows.to_dict("records")] + [""]
    readings = table.drop_duplicates("run")
    notes = [f"- {row['run']}: {row['reading']}" for row in readings.sort_values("run").to_dict("records")
             if row["reading"]]
    return "\n".join(lines + (["## Readings", "", *notes, ""] if notes else []))


def _headings(rules: Protocol) -> list[str]:
    first = rules.metric(rules.primary)
    others = [metric.heading for metric in rules.metrics if metric is not first]
    return ["rank", "run", f"{first.heading} [95 %]", *others, "vs baseline", "wins", "pictures", "parameters",
            "training multiply-adds", "status"]


def _cells(rules: Protocol, row: dict[str, Any]) -> list[str]:
    first = rules.metric(rules.primary)
    others = [number(row[metric.name], metric.digits) for metric in rules.metrics if metric is not first]
    status = row["status"] + (f": {row['reason']}" if row["reason"] else "")
    return [_rank(row["rank"]), row["run"] + (" †" if row["reading"] else ""),
            interval(row[first.name], row[f"{first.name}_low"], row[f"{first.name}_high"], first.digits), *others,
            interval(row["vs_baseline"], row["vs_baseline_low"], row["vs_baseline_high"], first.digits, signed=True),
            str(row["wins"]), f"{row['pictures_ok']}/{row['pictures']}", count(row["parameters"]),
            count(row["training_ops"]), status]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _rank(value: Any) -> str:
    return "–" if value is None or math.isnan(value) else str(int(value))


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


def console_table(task: str, table: pandas.DataFrame, case: str | None = None) -> str:
    """One case (the primary one unless named) as plain text of at most 120 columns: rank, run, the primary metric with
    its interval, up to three others, difference to the baseline, parameters, and where joined the costs; then one line
    for each run that did not finish. `table` is that of `comparison.build_table`, with or without `join_costs`."""
    rules = protocol(task)
    rows = table[table["case"] == case] if case else table[table["primary"].astype(bool)]
    if rows.empty:
        return f"{task}: nothing was scored for {case or 'the primary case'}."
    first = rows.iloc[0]
    title = f"{task}, {first['case']}, {first['pictures']} pictures of {first['groups']} photographs"
    lines = [title + (", synthetic" if first["synthetic"] else "")]
    done = [row for row in rows.to_dict("records") if row["status"] in ("ok", "partly failed")]
    if done:
        lines += _aligned([_console_headings(rules, rows), *(_console_cells(rules, row) for row in done)])
    for row in rows.to_dict("records"):
        if row["status"] != "ok":
            lines.append(_cut(f"{row['run']}: {row['status']}, {row['reason']}"))
    return "\n".join(lines)


def _shown(rules: Protocol) -> list[Any]:
    return [metric for metric in rules.metrics if metric.name != rules.primary][:3]


def _console_headings(rules: Protocol, rows: pandas.DataFrame) -> list[str]:
    costs = ["train s", "ms/MP"] if "training_seconds" in rows else []
    return ["#", "run", f"{rules.primary} [95 %]", *(metric.name for metric in _shown(rules)), "vs baseline", "params",
            *costs]


def _console_cells(rules: Protocol, row: dict[str, Any]) -> list[str]:
    first = rules.metric(rules.primary)
    costs = ([number(row["training_seconds"], 0), number(row["ms_per_megapixel"], 0)] if "training_seconds" in row
             else [])
    return [_rank(row["rank"]), row["run"],
            interval(row[first.name], row[f"{first.name}_low"], row[f"{first.name}_high"], first.digits),
            *(number(row[metric.name], metric.digits) for metric in _shown(rules)),
            interval(row["vs_baseline"], row["vs_baseline_low"], row["vs_baseline_high"], first.digits, signed=True),
            count(row["parameters"]), *costs]


def _aligned(rows: list[list[str]]) -> list[str]:
    """Columns two blanks apart, the run to the left, figures to the right; long run names are cut to fit."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    spare = WIDTH - sum(widths) - 2 * (len(widths) - 1)
    widths[1] = max(6, widths[1] + min(0, spare))
    lines = []
    for row in rows:
        cells = [_cut(cell, width).ljust(width) if place == 1 else cell.rjust(width)
                 for place, (cell, width) in enumerate(zip(row, widths, strict=True))]
        lines.append(_cut("  ".join(cells).rstrip()))
    return lines


def _cut(text: str, width: int = WIDTH) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
