"""The report of the blind test: how often a restored picture passed for the real one, and which of two methods people
preferred, with intervals. A pure function of the answers, of the test pictures' photographs and of the models present.

A rate of 50 % cannot be told from the truth: so much a person gets who answers at random. Beside each rate stands, as
its control, the range into which 95 % of those fall who answer that many pairs at random.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256_of_file, write_text
from restore_ml.evaluation.scoring import read_task
from restore_ml.evaluation.statistics import bootstrap
from restore_ml.report.answers import TRUTH, Session, Trial, read_all

if TYPE_CHECKING:
    import pandas as pd

SEED = 3
"""Of the bootstrap."""
Z = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""
ENOUGH = 10
"""Photographs, or people, from which on they are resampled for an interval."""
ATTENTION = 0.9
"""A session in which fewer of the control pairs were answered rightly is left out (the method card's bound)."""
SPOILED = (0.5, 2.0)
"""A pair is left out when one of its pictures was on the screen for less or more than these multiples of its time."""
FOOLED, PREFERRED = "fooled", "preferred"


@dataclass(frozen=True)
class Report:
    """A task's `table`, a row a method or a pair of methods, and what it rests on, in `notes`."""

    task: str
    sessions: list[Session]
    table: pd.DataFrame
    notes: list[str]


def report(root: Path, paths: Iterable[Path], attention: float = ATTENTION) -> list[Report]:
    """Read the files, pool them by task, and write reports/turing/<task>.csv and .md for each. `UserError` for a bad
    file, and where no session is left."""
    if not 0 <= attention <= 1:
        raise UserError(f"--attention is {attention:g}; give a share from 0 to 1.")
    sessions = read_all(paths)
    found = []
    for task in sorted({session.task for session in sessions}):
        made = pooled(root, task, [session for session in sessions if session.task == task], attention)
        folder = root / layout.REPORTS / "turing"
        write_text(folder / f"{task}.csv", made.table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
        write_text(folder / f"{task}.md", markdown(made))
        found.append(made)
    return found


def pooled(root: Path, task: str, sessions: list[Session], attention: float = ATTENTION) -> Report:
    """The rates of a task. Trials are pooled over sessions where method, model and seconds are the same."""
    import pandas as pd

    heard = [session for session in sessions if attentive(session, attention)]
    if not heard:
        raise UserError(f"None of the {len(sessions)} sessions on {task} got {100 * attention:g} % of its control "
                        f"pairs right, so none is counted; ask more people, or lower --attention.")
    groups = _groups(root, task)
    rows: dict[tuple[str, ...], list[tuple[Trial, str, float]]] = defaultdict(list)
    spoiled = 0
    for session in heard:
        for trial in session.trials:
            if trial.kind != "test":
                continue
            if not _whole(trial, session.seconds):
                spoiled += 1
                continue
            key, value = _outcome(session, trial)
            rows[(*key, f"{session.seconds:g}")].append((trial, session.rater, value))
    if not rows:
        raise UserError(f"No pair of {task} was on the screen for its whole time in any session, so none is counted.")
    table = [_row(root, task, key, found, groups) for key, found in sorted(rows.items())]
    ordered = sorted(table, key=lambda row: (row["question"], -row["rate"], row["run"]))
    return Report(task, sessions, pd.DataFrame(ordered), _notes(sessions, heard, attention, spoiled))


def attentive(session: Session, attention: float) -> bool:
    """Whether enough of the session's control pairs were told from the truth; a session without any passes."""
    caught = [trial.chosen == TRUTH for trial in session.trials if trial.kind == "catch"]
    return not caught or sum(caught) >= attention * len(caught) - 1e-9


def _whole(trial: Trial, seconds: float) -> bool:
    return all(SPOILED[0] * seconds <= ms / 1000 <= SPOILED[1] * seconds for ms in trial.shown_ms)


def _outcome(session: Session, trial: Trial) -> tuple[tuple[str, ...], float]:
    """What a trial counts for (question, run, against, models), and 1 where the run was picked as the real one."""
    if session.mode == "methods":
        run, other = sorted(session.methods)
        return (PREFERRED, run, other, f"{session.models[run]} {session.models[other]}"), float(trial.chosen == run)
    run = trial.second if trial.first == TRUTH else trial.first
    return (FOOLED, run, TRUTH, session.models[run]), float(trial.chosen == run)


def _row(root: Path, task: str, key: tuple[str, ...], found: list[tuple[Trial, str, float]],
         groups: dict[str, str]) -> dict[str, Any]:
    question, run, against, models, seconds = key
    row = {"question": question, "run": run, "against": against} | _rate(found, groups)
    names = [run, against] if question == PREFERRED else [run]
    present = all(_model(root, task, name).startswith(model)
                  for name, model in zip(names, models.split(), strict=True))
    return row | {"verdict": _verdict(row), "seconds": float(seconds), "model": models, "present": present}


def _rate(found: list[tuple[Trial, str, float]], groups: dict[str, str]) -> dict[str, Any]:
    """The rate with the widest of three intervals: Wilson's over trials, and, with `ENOUGH` of them, percentile
    bootstraps over photographs and over people, whose answers are not independent.

    reading: the source resamples people only; with few people or few photographs that says too much.
    """
    from scipy.stats import binom

    values = np.array([value for _, _, value in found])
    photographs = [groups.get(trial.picture, trial.picture) for trial, _, _ in found]
    raters = [rater for _, rater, _ in found]
    intervals = [("pairs", *wilson(int(values.sum()), len(values)))]
    for name, over in (("photographs", photographs), ("people", raters)):
        if len(set(over)) >= ENOUGH:
            estimate = bootstrap(values, over, SEED)
            intervals.append((name, estimate.low, estimate.high))
    over_what, low, high = max(intervals, key=lambda entry: entry[2] - entry[1])
    chance = binom.ppf((0.025, 0.975), len(values), 0.5) / len(values)
    return {"rate": float(values.mean()), "low": low, "high": high, "interval": over_what,
            "random_low": float(chance[0]), "random_high": float(chance[1]), "pairs": len(values),
            "pictures": len({trial.picture for trial, _, _ in found}), "photographs": len(set(photographs)),
            "people": len(set(raters)), "seen_before": float(np.mean([trial.seen for trial, _, _ in found]))}


def wilson(hits: int, count: int, z: float = Z) -> tuple[float, float]:
    """The score interval of a share (Wilson, 1927); `count` at least 1."""
    share, square = hits / count, z * z / count
    middle = (share + square / 2) / (1 + square)
    half = z * math.sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def _verdict(row: dict[str, Any]) -> str:
    if row["question"] == FOOLED:
        return "told from the truth" if row["high"] < 0.5 else "not shown to be told from the truth"
    if row["low"] <= 0.5 <= row["high"]:
        return "no preference shown"
    return f"{row['run'] if row['rate'] > 0.5 else row['against']} is preferred"


def _groups(root: Path, task: str) -> dict[str, str]:
    """The photograph of each test picture, as far as they are scored here."""
    scores = read_task(root, task)
    if scores is None:
        return {}
    scores = scores[["picture", "group"]].drop_duplicates("picture")
    return dict(zip(scores["picture"].astype(str), scores["group"].astype(str), strict=True))


def _model(root: Path, task: str, run: str) -> str:
    """The hash of the run's present model; `-` where there is none. The name comes from a file: it is no path."""
    known = {path.parent.name: path for path in (root / layout.models(task)).glob("*/model.json")}
    return sha256_of_file(known[run]) if run in known else "-"


def _notes(sessions: list[Session], heard: list[Session], attention: float, spoiled: int) -> list[str]:
    people = len({session.rater for session in heard})
    notes = [f"{len(heard)} of {len(sessions)} sessions counted, of {people} {'person' if people == 1 else 'people'}."]
    if len(heard) < len(sessions):
        notes.append(f"{len(sessions) - len(heard)} left out: fewer than {100 * attention:g} % of their control pairs "
                     f"were told from the truth.")
    if spoiled:
        notes.append(f"{spoiled} pairs left out: a picture was on the screen for less than half or more than twice its "
                     f"time.")
    pages = {session.page for session in heard}
    if len(pages) > 1:
        notes.append(f"The answers are to {len(pages)} different sets of pictures.")
    return notes


def markdown(made: Report) -> str:
    """The report as a page."""
    lines = [f"# Blind test of {made.task.replace('_', ' ')}", "", *made.notes, "",
             "fooled: how often the run's picture was taken for the real one; 50 % cannot be told from the truth. "
             "preferred: how often the run was chosen over the other. Brackets: 95 % interval, the widest of those "
             "over pairs, photographs and people. at random: where 95 % of those fall who answer as many pairs at "
             "random. seen before: pairs whose photograph had come up earlier in the session.", ""]
    cells = [[cell.replace("|", "\\|") for cell in line] for line in text_rows(made.table)]
    lines += ["| " + " | ".join(line) + " |" for line in (cells[0], ["---"] * len(cells[0]), *cells[1:])]
    return "\n".join(lines) + "\n"


def console(made: Report) -> str:
    """The report for a terminal."""
    rows = text_rows(made.table)
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([f"{made.task}: {' '.join(made.notes)}", *table])


def text_rows(table: pd.DataFrame) -> list[list[str]]:
    """A heading and a line a row, as texts."""
    rows = [["question", "run", "against", "rate [95 %]", "interval over", "at random", "pairs", "pictures", "people",
             "seen before", "verdict"]]
    for row in table.to_dict("records"):
        past = "" if row["present"] else f" (earlier model {row['model'].replace(' ', ' or ')[:17]})"
        rate = f"{100 * row['rate']:.0f} % [{100 * row['low']:.0f}, {100 * row['high']:.0f}]"
        chance = f"[{100 * row['random_low']:.0f}, {100 * row['random_high']:.0f}]"
        rows.append([row["question"], row["run"] + past, row["against"], rate, row["interval"], chance,
                     str(row["pairs"]), str(row["pictures"]), str(row["people"]), f"{100 * row['seen_before']:.0f} %",
                     row["verdict"]])
    return rows
