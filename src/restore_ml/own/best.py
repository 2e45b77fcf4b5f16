"""Which run is best on a person's pictures: degraded, restored with the models that there are, scored, as a table.

All of it happens in a small project of its own, .state/own/<name>, whose models are those of the project: the stages'
own functions restore and score there, so that a figure is what it would be if the folder were a test set (`restore-ml
data add`). Nothing that DVC tracks changes, nothing is trained, and no picture can move to another side of a split.
A second call restores only what is new.
"""

from __future__ import annotations

import math
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore_ml import registry
from restore_ml.base import costs, layout
from restore_ml.base.errors import UserError, shown
from restore_ml.base.files import read_json, write_json
from restore_ml.data import domains
from restore_ml.data.collections import NAME
from restore_ml.data.ledger import Ledger
from restore_ml.data.shards import Shard
from restore_ml.degrading.cases import degrade_cases
from restore_ml.degrading.keeper import Outcome
from restore_ml.evaluation.comparison import compare, first_case, read_about
from restore_ml.evaluation.scoring import cases_on_disk, read_scores
from restore_ml.evaluation.tables import number, tied
from restore_ml.own.cases import some_cases
from restore_ml.own.folder import Folder, take_in
from restore_ml.own.jobs import Job, side_by_side
from restore_ml.own.learned import Learned
from restore_ml.own.measuring import HOME, link
from restore_ml.own.plan import agreed, plan, words
from restore_ml.own.result import terminal_table
from restore_ml.own.usable import usable
from restore_ml.report.comparison import read_table
from restore_ml.runs import settings
from restore_ml.tasks.protocol import protocol

if TYPE_CHECKING:
    import pandas as pd

PAGES = layout.REPORTS / "own"
SHARED = (layout.MODELS, layout.CHAMPIONS, layout.CODE)
"""What the small project has of the large one, by links."""
NAMED = 10
"""Pictures that are named of those that a task does not take."""


@dataclass(frozen=True)
class Wish:
    """What is asked for. Empty `runs` and `cases`: all; `pictures` and `crop` 0: all and whole. `workers`: processes;
    0: this one. `name`: what the test set is called; empty: after the folder."""

    task: str
    folder: Path
    name: str = ""
    runs: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    pictures: int = 0
    crop: int = 0
    exclude: tuple[str, ...] = ()
    workers: int = 0
    yes: bool = False


def best_on(root: Path, wish: Wish) -> pd.DataFrame | None:
    """Do it and print it; returns the table, or None where a person at the terminal said no.

    Raises:
        UserError: no such folder, task, run or case; nothing in the folder that the task takes; no run with a model; no
            room on the disk; something long or large that nobody agreed to.
    """
    from filelock import FileLock, Timeout

    name = _name(root, wish)
    if not wish.folder.is_dir():  # before anything of it is made
        kind = domains.get(registry.task(wish.task).domain)
        raise UserError(f"{str(wish.folder)!r} is not a folder; give a folder with {kind.what}.")
    home = root / HOME / name
    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"Somebody is at work on {name} already; wait, or take another name (--as).") from None
    with lock:
        return _Work(root, home, name, wish).do()


def _name(root: Path, wish: Wish) -> str:
    """The name of the test set: none that the task has."""
    taken = {path.name for path in (root / layout.samples(wish.task) / "targets").glob("*")}
    if wish.name:
        if not NAME.fullmatch(wish.name):
            raise UserError(f"{shown(wish.name)} is no name: use small letters, digits, - and _ (at most 63, a letter "
                            "or digit first).")
        if wish.name in taken:
            raise UserError(f"{wish.task} has a test set {wish.name!r} already; take another name.")
        return wish.name
    plain = re.sub(r"[^a-z0-9_-]+", "-", wish.folder.resolve().name.lower()).strip("-_")[:50] or "pictures"
    return f"own-{plain}" if plain in taken else plain


class _Work:
    """One call."""

    def __init__(self, root: Path, home: Path, name: str, wish: Wish) -> None:
        self.root, self.home, self.name, self.wish, self.task = root, home, name, wish, wish.task
        self.params = settings.load(root / layout.PARAMS)
        self.settings = self.params.tasks.get(wish.task, {})
        self.parts = some_cases(registry.parts(wish.task), self.settings, wish.cases)
        self.kind = domains.get(self.parts.task.domain)
        self.found = usable(root, self.params, wish.task, wish.runs)

    def do(self) -> pd.DataFrame | None:
        """All of it; None where a person said no."""
        runs, wish = self.found.runs, self.wish
        if not runs:
            why = "; ".join(f"{run}: {reason}" for run, reason in self.found.left_out.items())
            raise UserError(f"No run of {self.task} can restore here ({why or 'there is none'}). `make repro "
                            f"TASK={self.task}` trains them all, `make repro METHODS={self.task}/RUN` one of them.")
        folder = Folder(wish.folder, self.kind, wish.exclude, self.home / "arranged")
        if not folder.found:
            raise UserError(f"There is nothing in {str(wish.folder)!r} that {self.task} takes: it needs "
                            f"{self.kind.what}. {folder.report}")
        folder.choose(wish.pictures)
        made = plan(self.root, self.parts, self.settings, self.params.seed, runs, folder, wish.crop)
        if not agreed(made, min(max(1, wish.workers), len(runs)), self.root, wish.yes):
            return None
        started = time.monotonic()
        self._lay_out()
        outcome = self._degrade(folder)
        print("\n".join([str(folder.report), *self._left_out(outcome)]), flush=True)
        order = sorted(runs, key=lambda run: -made.by_run.get(run.name, 1e9))
        for count, done in enumerate(side_by_side([self._job(run.name) for run in order], wish.workers), 1):
            print(f"{done} ({count} of {len(runs)})", flush=True)
        table = self._table()
        self._tell(table, time.monotonic() - started)
        return table

    def _lay_out(self) -> None:
        """The small project: links to what it shares, what trainings cost, and nothing of runs that are not asked."""
        for part in (*SHARED, layout.PARAMS):
            if (self.root / part).exists():
                link(self.root / part, self.home / part)
        for other in {*self.parts.task.roles.values()} - {self.kind.name}:
            link(self.root / layout.PREPARED / other, self.home / layout.PREPARED / other)
        for run in self.found.runs:
            cost = costs.path(self.root, "train", self.root / layout.model(self.task, run.name) / "model.json")
            if cost.exists():
                write_json(self.home / cost.relative_to(self.root), read_json(cost))
        names = {run.name for run in self.found.runs}
        for path in (self.home / layout.scores(self.task)).glob("*"):
            if path.stem not in names:
                path.unlink()

    def _degrade(self, folder: Folder) -> Outcome:
        """Take the pictures in and degrade them; `UserError` where nothing is left."""
        from tqdm import tqdm

        prepared = self.home / layout.PREPARED / self.kind.name / "test" / self.name
        with tqdm(total=len(folder.found), leave=False, delay=2, desc="reading") as bar:
            good = take_in(folder, self.name, prepared, Learned(self.root, self.kind), self.wish.crop, bar.update)
        if not good:
            raise UserError(f"No picture is left to try. {folder.report}")
        with tqdm(leave=False, delay=2, desc="degrading cases") as bar:
            outcome = degrade_cases(
                self.parts, self.home / layout.PREPARED, self.home / layout.samples(self.task), self.params.seed,
                self.settings, lambda what, done, total: bar.update() and None,
                ledger=Ledger.of_stage(self.home, f"degrade-{self.task}", self._code("degrade")))
        if not any(outcome.counts.values()):
            raise UserError(" ".join([f"{self.task} takes none of the pictures.", *self._left_out(outcome)]))
        return outcome

    def _left_out(self, outcome: Outcome) -> list[str]:
        """A line for each picture that the task does not take, `NAMED` of them at most."""
        refused = outcome.left_out.get(self.name, {})
        folder = self.home / layout.PREPARED / self.kind.name / "test" / self.name
        lines = [f"  {self.task} does not take {Shard(folder / f'{key}.arrow')[0].facts['name']!r}: {reason}"
                 for key, reason in list(refused.items())[:NAMED]]
        return lines + ([f"  and {len(refused) - NAMED} more"] if len(refused) > NAMED else [])

    def _code(self, kind: str, run: str = "") -> Any:
        return self.found.code[layout.code(kind, self.task, run).relative_to(layout.CODE).as_posix()]

    def _primary(self) -> str:
        """The case that ranks: that of the task's own tables, of this set."""
        cases = cases_on_disk(self.home / layout.samples(self.task))
        named = f"{self.name}/{self.params.primary_cases.get(self.task, '').partition('/')[2]}"
        return first_case(protocol(self.task), cases, named)

    def _job(self, run: str) -> Job:
        return Job(self.home, self._code("restore", run), self._code("score"), self._primary())

    def _table(self) -> pd.DataFrame:
        """Write comparison/<task> of the small project; returns the table with this machine's costs."""
        import pandas

        names = [run.name for run in self.found.runs]
        rows = pandas.concat([read_scores(self.home / layout.scores(self.task, name)) for name in names],
                             ignore_index=True)
        compare(self.task, rows, read_about(self.home, self.task, names), self.home / layout.comparison(self.task),
                self._primary())
        return read_table(self.home, self.task)

    def _tell(self, table: pd.DataFrame, seconds: float) -> None:
        """The table on the screen, who is best, who was left out, and where everything lies."""
        from restore_ml.report.gallery import build

        pages = self.root / PAGES / self.name
        build(self.home, pages)
        for suffix in ("csv", "md"):
            table_file = self.home / layout.comparison(self.task) / f"table.{suffix}"
            shutil.copyfile(table_file, pages / f"{self.task}.{suffix}")
        judged = best_words(self.task, table) if self.task not in self.params.defaults else (
            "No figure says which of these is best; look at the pictures.")
        print(f"\n{terminal_table(self.task, table)}\n{judged}")
        for run, reason in self.found.left_out.items():
            print(f"Left out: {run}: {reason}.")
        if self.found.left_out:
            print(f"`make repro TASK={self.task}` trains what is missing or of yesterday.")
        if self.found.unchecked:
            print("Whether the models are of today's code, settings and training pictures could not be told: "
                  f"{layout.material(self.task)} is not here.")
        print(f"\n{words(seconds)}. Every case and picture: {pages / f'{self.task}.html'} "
              f"({_megabytes(pages):.0f} MB)\nAll figures: {pages / f'{self.task}.md'} and .csv\n"
              f"Kept in {self.home} ({_megabytes(self.home):.0f} MB), so that a second call is quick; delete it when "
              "you like.")


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def best_words(task: str, table: pd.DataFrame) -> str:
    """Who is best on the case that ranks, and who cannot be told from it, in a sentence or two."""
    rows = table[table["primary"].astype(bool)].to_dict("records")
    ranked = [row for row in rows if not math.isnan(row["rank"])]
    if not ranked:
        return "No run restored all the pictures, so none is called best."
    metric, first = protocol(task).metric(protocol(task).primary), ranked[0]
    if len(ranked) < 2:
        return f"{first['run']} alone restored them all: nothing to compare."
    words = f"Best on these: {first['run']} ({metric.name} {number(first[metric.name], metric.digits)})."
    ties = [row["run"] for row in ranked[1:] if row["rank"] == 1 or tied(row)]
    if first["groups"] < 2:
        return f"{words} They are of one photograph, so nothing is said of others."
    return f"{words} Not told from it: {', '.join(ties)}." if ties else f"{words} No other is within chance of it."
