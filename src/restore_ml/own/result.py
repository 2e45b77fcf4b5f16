"""What `restore_ml.compare` gives: a table of three rows, sentences, and the worst and best picture of each case."""

from __future__ import annotations

import base64
import html
import io
import math
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_ml.data.shards import Shard
from restore_ml.evaluation.tables import OTHERS, WIDTH, console_table, interval, number
from restore_ml.tasks.panels import panel
from restore_ml.tasks.protocol import Protocol, protocol, with_distances

if TYPE_CHECKING:
    import pandas as pd

SIDE = 256
"""Pixels of the longer side of a picture in a notebook: larger ones are shrunk, so that the notebook stays small."""
SHOWN = 4
"""Cases of which pictures are shown."""
SAID = 5
"""Sentences on what went wrong that are printed; `problems` has all."""


@dataclass(frozen=True)
class Strip:
    """A picture of a case as it is looked at: its name, what it is (`worst`), its figure, its panels by name."""

    case: str
    picture: str
    place: str
    value: float
    panels: dict[str, np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """A function beside the champion and the baseline of a task. In Jupyter it shows itself with pictures; in a
    terminal it prints.

    `table`: a row a case and run with means and 95 % intervals (columns as `evaluation.comparison.build_table`, and
    `vs_champion`, the paired difference to the row `reference`: the champion's, or that of who leads where there is
    none). `scores`: a row a case, run and picture. `problems`: sentences on what went wrong.
    """

    task: str
    name: str
    reference: str
    champion: bool
    baseline: str
    table: pd.DataFrame
    scores: pd.DataFrame
    problems: list[str]
    strips: list[Strip]

    @property
    def cases(self) -> list[str]:
        """The cases that were compared, the first one of the table first."""
        return [str(case) for case in self.table["case"].unique()]

    def __str__(self) -> str:
        parts = [f"{terminal_table(self.task, self.table, case)}\n{self.verdict(case)}" for case in self.cases]
        if self.problems:
            more = [f"and {len(self.problems) - SAID} more (`.problems`)."] if len(self.problems) > SAID else []
            parts.append("\n".join(line for sentence in [*self.problems[:SAID], *more]
                                   for line in textwrap.wrap(sentence, WIDTH)))
        return "\n\n".join(parts)

    __repr__ = __str__

    def verdict(self, case: str) -> str:
        """A sentence: by how much the function is better or worse than the champion, and whether that could be
        chance."""
        row = next(row for row in self.table.to_dict("records") if (row["case"], row["run"]) == (case, self.name))
        metric = protocol(self.task).metric(protocol(self.task).primary)
        mean, low, high = row["vs_champion"], row["vs_champion_low"], row["vs_champion_high"]
        leads = "who leads" + f" on {self.cases[0]}" * (case != self.cases[0])  # it is chosen there
        whom = f"{'the champion' if self.champion else leads}, {self.reference.removesuffix(' (champion)')}"
        if not self.reference:
            return f"No run restored every picture, so {self.name} is held against none."
        if math.isnan(mean):
            return f"{self.name} cannot be held against {whom}: no picture was measured of both."
        words = f"{interval(mean, low, high, metric.digits, signed=True)} in {metric.name}"
        if row["pictures_ok"] < row["pictures"]:  # none may gain by failing on the hard ones
            return (f"{self.name} against {whom}: {words} where both have an output; it failed on "
                    f"{row['pictures'] - row['pictures_ok']} of {row['pictures']} pictures, so it is not judged.")
        if math.isnan(low):
            return f"{self.name} against {whom}: {words}; of one photograph nothing is said of others."
        judged = "better" if low > 0 else "worse" if high < 0 else "not told apart"
        return f"{self.name} against {whom}: {words}, so {judged}."

    def _repr_html_(self) -> str:
        """The table and the pictures as HTML in which everything stands that it needs."""
        parts = [f"<h4>{html.escape(self.task)}, {html.escape(case)}</h4>"
                 f"{_table(self.task, self.table, case, 'champion' if self.champion else 'who leads')}"
                 f"<p>{html.escape(self.verdict(case))}</p>{_figures(self.task, self.strips, case)}"
                 for case in self.cases]
        if self.problems:
            items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in self.problems[:SAID])
            more = f"<li>and {len(self.problems) - SAID} more</li>" * (len(self.problems) > SAID)
            parts.append(f"<ul>{items}{more}</ul>")
        return f"<div>{''.join(parts)}</div>"


def terminal_table(task: str, table: pd.DataFrame, case: str | None = None) -> str:
    """One case as `console_table` prints it, of the metrics only those that fit beside the first: the others stand in
    the frame, not in a file that it could name."""
    rules = with_distances(protocol(task), table.columns)
    rest = [metric.name for metric in rules.metrics if metric.name != rules.primary and metric.name in table]
    measured = [name for name in rest if table[name].notna().any()]
    for count in range(OTHERS, -1, -1):
        text = console_table(task, table.assign(**dict.fromkeys(measured[count:], math.nan)), case)
        if "Not shown:" not in text:
            break
    return text


def _headings(rules: Protocol, table: pd.DataFrame) -> list[str]:
    return [metric.name for metric in rules.metrics
            if metric.name != rules.primary and metric.name in table and table[metric.name].notna().any()]


def _table(task: str, table: pd.DataFrame, case: str, whom: str) -> str:
    rules = with_distances(protocol(task), table.columns)
    first, others = rules.metric(rules.primary), _headings(rules, table)
    heads = ["run", f"{first.heading} [95 %]", f"vs {whom}", "vs baseline",
             *(rules.metric(name).heading for name in others), "pictures"]
    rows = []
    for row in table[table["case"] == case].to_dict("records"):
        cells = [row["run"], interval(row[first.name], row[f"{first.name}_low"], row[f"{first.name}_high"],
                                      first.digits)]
        cells += [interval(row[name], row[f"{name}_low"], row[f"{name}_high"], first.digits, signed=True)
                  for name in ("vs_champion", "vs_baseline")]
        cells += [number(row[name], rules.metric(name).digits) for name in others]
        rows.append(_row("td", [*cells, f"{row['pictures_ok']}/{row['pictures']}"]))
    return f"<table><thead>{_row('th', heads)}</thead><tbody>{''.join(rows)}</tbody></table>"


def _row(tag: str, cells: Iterable[Any]) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(str(cell))}</{tag}>' for cell in cells)}</tr>"


def _figures(task: str, strips: list[Strip], case: str) -> str:
    metric = protocol(task).metric(protocol(task).primary)
    parts = []
    for strip in strips:
        if strip.case != case:
            continue
        shown = "".join(
            f'<figure style="display:inline-block;margin:0 8px 8px 0"><img alt="{html.escape(name)}" '
            f'src="{data_uri(picture)}"><figcaption>{html.escape(name)}</figcaption></figure>'
            for name, picture in strip.panels.items())
        words = f"{strip.place}: {strip.picture}, {metric.name} {number(strip.value, metric.digits)}"
        parts.append(f"<p>{html.escape(words)}</p><div>{shown}</div>")
    return "".join(parts)


def data_uri(picture: np.ndarray) -> str:
    """An H x W x 3 uint8 picture as a PNG in a URI, shrunk where its longer side is more than `SIDE` pixels."""
    from PIL import Image

    image, out = Image.fromarray(np.ascontiguousarray(picture)), io.BytesIO()
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    image.save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def strips(task: str, rules: Protocol, own: pd.DataFrame, samples: Path, restored: Path) -> list[Strip]:
    """The worst and the best picture of each of the first `SHOWN` cases, by the primary metric."""
    metric, found = rules.metric(rules.primary), []
    for case in list(own["case"].unique())[:SHOWN]:
        rows = own[(own["case"] == case) & own[metric.name].notna()]
        if rows.empty:
            continue
        order = rows.sort_values([metric.name, "picture"], ascending=[metric.direction > 0, True])
        ends = {"worst": order.iloc[0], "best": order.iloc[-1]} if len(order) > 1 else {"the one picture":
                                                                                         order.iloc[0]}
        for place, row in ends.items():
            inputs, output, target = (_arrays(folder / f"{case}.arrow", row["picture"]) for folder in (
                samples / "inputs", restored, samples / "targets"))
            shown = rules.show(inputs, output, target)
            names = ["input", "output", "truth", *(name for name in shown if name not in ("input", "output", "truth"))]
            found.append(Strip(case, str(row["name"]), place, float(row[metric.name]), {
                "result" if name == "output" else name: np.array(panel(shown[name]).still)
                for name in names if name in shown}))
    return found


def _arrays(path: Path, picture: str) -> dict[str, np.ndarray]:
    return next(record.arrays for record in Shard(path) if record.id == picture)
