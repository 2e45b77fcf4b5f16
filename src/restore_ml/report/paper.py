"""A task's table for a paper: which figures stand in it, which are best, and what its caption must say.

Everything measured is a column of comparison/<task>/table.csv; ranks, ties, intervals and digits are those of
`restore_ml.evaluation`. The forms it is written in are in `restore_ml.report.paper_forms`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.provenance import UNCOMMITTED, UNKNOWN, Lock, commits
from restore_ml.evaluation import published as printing
from restore_ml.evaluation.published import Printed
from restore_ml.evaluation.statistics import ranks
from restore_ml.evaluation.tables import DONE, ceiling, interval, number, tied
from restore_ml.evaluation.words import counted, groups
from restore_ml.registry import nearest
from restore_ml.report.comparison import read_table
from restore_ml.report.view import title
from restore_ml.tasks.protocol import Metric, protocol, with_distances

if TYPE_CHECKING:
    import pandas as pd

TIE = "≈"
"""Stands behind the name of a run that cannot be told from the best."""


@dataclass(frozen=True)
class Cell:
    """A figure: the mean, its interval as ` [low, high]` (empty where none is shown), what a source prints for the
    method (empty where nothing agrees), and its place among the rows: 1 best, 2 second, 0 neither."""

    mean: str
    interval: str = ""
    printed: str = ""
    place: int = 0


@dataclass(frozen=True)
class Row:
    """A run, or a method whose figures are `printed` alone; `note`: that it did not do all pictures."""

    name: str
    cells: tuple[Cell, ...]
    tied: bool = False
    note: str = ""
    printed: bool = False


@dataclass(frozen=True)
class PaperTable:
    """What every form writes. `columns`: the metrics, the one that ranks first; `caption`: sentences; `published`:
    whether printed figures were asked for."""

    task: str
    case: str
    columns: tuple[Metric, ...]
    rows: tuple[Row, ...]
    caption: tuple[str, ...]
    profile: str
    commit: str
    pictures: int
    intervals: bool
    published: bool

    def measured(self) -> list[Row]:
        """The rows that were measured here."""
        return [row for row in self.rows if not row.printed]

    def printed(self) -> list[Row]:
        """The rows of methods that only a source has figures of."""
        return [row for row in self.rows if row.printed]


def paper_table(root: Path, task: str, case: str | None = None, runs: Sequence[str] = (), intervals: bool = False,
                published: bool = False) -> PaperTable:
    """The table of a case (the primary one unless named) of the project `root`.

    `runs`: only these, ranked among themselves; `intervals`: of the metric that ranks; `published`: with the printed
    figures that agree with the case. `UserError` for a case or run that is not there, and where nothing is measured.
    """
    table = read_table(root, task)
    chosen = _case(task, table, case)
    everything = rows = table[table["case"] == chosen]
    if runs:
        rows = _only(root, task, rows, runs)
    done = [row for row in rows.to_dict("records") if row["status"] in DONE]
    if not done:
        raise UserError(f"No run of {task} did {chosen}, so there is no table; `restore-ml compare {task} --case "
                        f"{chosen}` says why.")
    rules = with_distances(protocol(task), rows.columns[rows.notna().any()])
    first = rules.metric(rules.primary)
    columns = (first, *(metric for metric in rules.metrics if metric is not first
                        and any(not math.isnan(row[metric.name]) for row in done)))
    printed = _printed(root, task, chosen) if published else {}
    facts = {"profile": _profile(root, task, [str(run) for run in rows["run"]]), "commit": _commit(root, task)}
    measured = [row for row in everything.to_dict("records") if row["status"] in DONE]
    made = [*_measured(done, columns, intervals, printed), *_unmeasured(measured, columns, printed)]
    sentences = [f"{title(task)}, {chosen}: {counted(task, int(done[0]['pictures']), int(done[0]['groups']))}"
                 + (", synthetic." if done[0]["synthetic"] else "."),
                 "The arrows say which way is better; best in bold, second underlined, equal figures "
                 "alike."]
    sentences += _ties(task, first, made) + ([f"Brackets: 95 % bootstrap interval over {groups(task)}."]
                                             if intervals else [])
    sentences += [text for text in (ceiling(rules, rows), _left_out(rows), _partly(made)) if text]
    if published:
        sentences.append(f"In round brackets, and in rows as printed: figures of these pictures that are printed in "
                         f"{_sources(task)}, not measured here." if printed else "No printed figure agrees with this "
                         "case in pictures, metric and protocol.")
    changed = " (settings changed since)" * (facts["profile"] == UNKNOWN)
    sentences.append(f"Profile {facts['profile']}{changed}, " + (
        "not committed." if facts["commit"] == UNCOMMITTED else f"commit {facts['commit']}."))
    return PaperTable(task, chosen, columns, tuple(made), tuple(sentences), pictures=int(done[0]["pictures"]),
                      intervals=intervals, published=published, **facts)


def _case(task: str, table: pd.DataFrame, case: str | None) -> str:
    cases = [str(name) for name in table["case"].unique()]
    if not cases:
        raise UserError(f"Nothing of {task} is scored yet, so there is no table; `make repro` scores it.")
    if case is not None and case not in cases:
        raise UserError(f"{task} has no case {case!r}; it has {', '.join(cases)}.{nearest(case, cases)}")
    return case or str(table.loc[table["primary"].astype(bool), "case"].iloc[0])


def _only(root: Path, task: str, rows: pd.DataFrame, runs: Sequence[str]) -> pd.DataFrame:
    """The rows of some runs, ranked and compared among themselves as a whole table is."""
    from restore_ml.evaluation.comparison import build_table, named_case, read_about
    from restore_ml.evaluation.scoring import read_task

    known = [str(run) for run in rows["run"]]
    for run in runs:
        if run not in known:
            raise UserError(f"{task} has no run {run!r} in its table; it has {', '.join(known)}.{nearest(run, known)}")
    scores = read_task(root, task)
    if scores is None or set(runs) - {*scores["run"]}:
        raise UserError(f"The scores of {task} are not those of its table; `make repro` builds both anew.")
    chosen = scores[scores["run"].isin(runs) & (scores["case"] == rows["case"].iloc[0])]
    made = build_table(task, chosen, read_about(root, task, sorted(runs)), named_case(root, task))
    if not _agree(protocol(task).primary, rows, made):
        raise UserError(f"The scores of {task} are not those of its table; `make repro` builds both anew.")
    return made


def _agree(primary: str, table: pd.DataFrame, made: pd.DataFrame) -> bool:
    """Whether rows made from the scores are those of the table, which rounds: the caption names the table's commit."""
    kept = table.set_index("run").loc[list(made["run"])]
    return (list(kept["status"]) == list(made["status"]) and list(kept["pictures_ok"]) == list(made["pictures_ok"])
            and bool(np.allclose(kept[primary], made[primary], rtol=0, atol=1e-6, equal_nan=True)))


def _measured(done: list[dict[str, Any]], columns: tuple[Metric, ...], intervals: bool, printed: Printed) -> list[Row]:
    places = {metric.name: _places(done, metric) for metric in columns}
    made = []
    for number_of, row in enumerate(done):
        cells = []
        for metric in columns:
            mean, place = number(row[metric.name], metric.digits), places[metric.name][number_of]
            low, high = (row.get(f"{metric.name}{end}", math.nan) for end in ("_low", "_high"))
            between = interval(row[metric.name], low, high, metric.digits).removeprefix(mean) if intervals else ""
            agrees = printed.get((_method(row), metric.name), "") if row["status"] == "ok" else ""  # of all pictures
            cells.append(Cell(mean, between, agrees,
                              place if place in (1, 2) else 0))
        note = "" if row["status"] == "ok" else f"{row['pictures_ok']} of {row['pictures']} pictures"
        made.append(Row(row["run"], tuple(cells), tied(row), note))
    return made


def _places(done: list[dict[str, Any]], metric: Metric) -> list[int | None]:
    """Ranks of the figures as the table shows them: what reads the same has the same place."""
    if not metric.direction:
        return [None] * len(done)
    return ranks([round(row[metric.name], metric.digits) if row["status"] == "ok" else math.nan for row in done],
                 metric.direction)


def _unmeasured(done: list[dict[str, Any]], columns: tuple[Metric, ...], printed: Printed) -> list[Row]:
    """A row for each method that a source has agreeing figures of and no run here has."""
    here = {_method(row) for row in done}
    return [Row(method, tuple(Cell(printed.get((method, metric.name), "–")) for metric in columns), printed=True)
            for method in dict.fromkeys(method for method, _ in printed) if method not in here]


def _method(row: dict[str, Any]) -> str:
    return str(row["method"]).rpartition(".")[2]


def _ties(task: str, first: Metric, rows: list[Row]) -> list[str]:
    if not any(row.tied for row in rows):
        return []
    return [f"{TIE}: cannot be told from the best (the 95 % interval of the paired difference in {first.name}, over "
            f"{groups(task)}, holds 0)."]


def _left_out(rows: pd.DataFrame) -> str:
    said = [f"{row.run} ({row.status}{f': {row.reason}' if row.reason else ''})" for row in rows.itertuples()
            if row.status not in DONE]
    said = [" ".join(words.split()) for words in said]  # no form takes a caption of several lines
    return f"Without a figure: {', '.join(said)}." if said else ""


def _partly(rows: list[Row]) -> str:
    said = [f"{row.name} ({row.note})" for row in rows if row.note]
    return f"Not ranked, since pictures failed: {', '.join(said)}." if said else ""


def _printed(root: Path, task: str, case: str) -> Printed:
    from restore_ml.evaluation.comparison import printed_by_case
    from restore_ml.evaluation.scoring import read_task

    scores = read_task(root, task)
    return {} if scores is None else printed_by_case(task, scores[scores["case"] == case]).get(case, {})


def _sources(task: str) -> str:
    """What the printed figures are from that may agree with a case of the task."""
    tables = {entry.table for entry in printing.AGREEMENTS if entry.task == task}
    found = dict.fromkeys(printing.SOURCES[figure.source] for figure in printing.figures(task)
                          if figure.table in tables)
    return "; ".join(found)


def _profile(root: Path, task: str, runs: Sequence[str]) -> str:
    """The profile that the runs were built at: today's, or `unknown` where settings changed since the lock was written.
    """
    from restore_ml.runs import settings

    known = Lock(root).deps
    for path in (Path(layout.PARAMS), *(layout.code("train", task, run) for run in runs)):
        if path.as_posix() in known and known[path.as_posix()] != _md5(root / path):
            return UNKNOWN
    return settings.load(root / layout.PARAMS).profile


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() if path.is_file() else ""


def _commit(root: Path, task: str) -> str:
    """The start of the commit that holds the table as it lies on disk, `uncommitted`, or `unknown` where git refuses.
    """
    path = layout.comparison(task) / "table.csv"
    known = Lock(root).outs.get(path.as_posix(), "")
    here = _md5(root / path)
    found = commits(root, {"table": {known} if known == here else set()}, task)["table"]
    return found if found in (UNCOMMITTED, UNKNOWN) else found[:10]
