"""A person's function beside the champion and the baseline of a task: `restore_ml.compare`.

The function gets each test picture as the runs got it. What it gives is written, read and measured as the outputs of a
run are, by `restore_ml.evaluation.scoring`; the rows of the others are those that the last rebuild stored.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_ml import registry
from restore_ml.arrays import Arrays
from restore_ml.base import layout
from restore_ml.base.errors import UserError, shown
from restore_ml.base.files import read_json, write_json
from restore_ml.data.collections import NAME
from restore_ml.data.shards import Record, Shard, write
from restore_ml.evaluation.comparison import SEED, build_table, first_case, named_case, read_about
from restore_ml.evaluation.scoring import cases_on_disk, check, read_scores, read_task, score, scored_runs
from restore_ml.evaluation.statistics import paired
from restore_ml.own.measuring import HOME, distances, link
from restore_ml.own.outputs import adapted
from restore_ml.own.result import Comparison, Strip, strips
from restore_ml.promotion import champion_scores, sweeps
from restore_ml.registry import nearest
from restore_ml.tasks.protocol import Protocol, protocol, with_distances

if TYPE_CHECKING:
    import pandas as pd

Function = Callable[[dict[str, np.ndarray]], Any]
"""Input arrays by name, channels last, as they lie in samples/ -> the output: an array, a tensor or a mapping."""
BASELINE = "vs_baseline"
CHAMPION = "vs_champion"


def compare(function: Function, task: str, sets: Sequence[str] | str | None = None,
            cases: Sequence[str] | str | None = None, name: str = "mine") -> Comparison:
    """Restore test pictures of a task with a function and put it beside the task's champion and baseline.

    `function` is called for one picture at a time with a mapping of the task's inputs, numpy arrays as in the stored
    samples (a picture is H x W x C uint8, a mask H x W x 1 uint8 with 1 where pixels are missing), copies of which it
    may do with what it likes. It gives the task's output: an array of the same kind, floats from 0 to 1, or a tensor of
    torch (channels first; `restore_ml.own.outputs` has the table); a mapping where there are several. The known pixels
    are put back as for every method.

    `sets`: names of test sets (default: that of the task's primary case), or the one name of pictures that `restore-ml
    best-on` was called for. `cases`: degradations (`centre`) or whole
    cases (`photos/centre`); default: all of these sets. `name`: of its row.

    What is wrong with an output does not end the comparison: the picture counts as failed, and a sentence names it.

    Raises:
        UserError: an unknown task, set or case; a name that a run has; samples or scores that are missing (the sentence
            says what makes them), or of other pictures; a function that failed on every picture (`__cause__` is its own
            error).
    """
    rules = protocol(task)
    root = _root(layout.project(), task, sets)
    samples = root / layout.samples(task)
    there = _there(task, samples)
    primary = first_case(rules, there, named_case(root, task))
    chosen = _chosen(task, there, [primary.split("/")[0]] if sets is None else _listed(sets), cases)
    others = _Others.of(root, task, chosen, name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for side in ("inputs", "targets"):
            for case in chosen:
                link(samples / side / f"{case}.arrow", folder / "samples" / side / f"{case}.arrow")
        work = _Calls(function, task, name, folder / "restored" / name)
        for case in chosen:
            work.case(case, Shard(samples / "inputs" / f"{case}.arrow"), Shard(samples / "targets" / f"{case}.arrow"))
        work.end()
        own = score(task, folder / "samples", folder / "restored", [{"run": name}],
                    distances(root, task, primary) if primary in chosen else None, primary=primary)
        rows = others.rows(own)
        table = _gains(rules, others, rows, build_table(task, rows, others.about | {name: {"method": name}}, primary))
        shown_strips: list[Strip] = strips(task, rules, own, folder / "samples", folder / "restored" / name)
    return Comparison(task, name, others.reference, others.champion, others.baseline, table, rows, work.sentences(own),
                      shown_strips)


def _root(root: Path, task: str, sets: Sequence[str] | str | None) -> Path:
    """The project, or where `best-on` keeps the one set that is named."""
    named = [] if sets is None else _listed(sets)
    if len(named) == 1 and NAME.fullmatch(str(named[0])):
        home = root / HOME / named[0]
        if not (root / layout.samples(task) / "targets" / named[0]).is_dir() and (home / layout.scores(task)).is_dir():
            return home
    return root


def _there(task: str, samples: Path) -> list[str]:
    try:
        there = cases_on_disk(samples)
    except UserError:
        there = []
    there = [case for case in there if (samples / "inputs" / f"{case}.arrow").exists()]
    if not there:
        raise UserError(f"There are no test samples of {task} in {samples}; `make repro TASK={task}` makes them, or "
                        f"`dvc pull` fetches them.")
    return there


def _listed(value: Sequence[str] | str) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _chosen(task: str, there: list[str], sets: list[str], cases: Sequence[str] | str | None) -> list[str]:
    """The cases of the sets, or those of them that `cases` names, in their order on disk."""
    known = sorted({case.split("/")[0] for case in there})
    for name in sets:
        if name not in known:
            raise UserError(f"{task} has no test set {shown(name)}; it has {', '.join(known)}. `restore-ml data add` "
                            f"and `make repro TASK={task}` add one, `restore-ml best-on` tries a folder."
                            f"{nearest(str(name), known)}")
    of_sets = [case for case in there if case.split("/")[0] in sets]
    if cases is None:
        return of_sets
    named = _listed(cases)
    for name in named:
        if not any(name in (case, case.split("/")[1]) for case in of_sets):
            raise UserError(f"{task} has no case {shown(name)} of {', '.join(sets)}; it has {', '.join(of_sets)}.")
    if chosen := [case for case in of_sets if {case, case.split("/")[1]} & set(named)]:
        return chosen
    raise UserError(f"No case of {task} is chosen; it has {', '.join(of_sets)}.")


class _Calls:
    """The function at work: its outputs as a run's, and what was wrong with them."""

    def __init__(self, function: Function, task: str, name: str, out: Path) -> None:
        self.function, self.task, self.out = function, registry.task(task), out
        self.status: dict[str, Any] = {"run": name, "seed": -1, "status": "ok", "reason": "", "cases": {}}
        self.changed: dict[str, list[str]] = {}
        self.first: BaseException | None = None
        self.good = 0

    def case(self, case: str, inputs: Shard, targets: Shard) -> None:
        """Write the outputs of a case."""
        entry: dict[str, Any] = {"status": "ok", "reason": "", "failed": {}}
        self.status["cases"][case] = entry
        done = write(self.out / f"{case}.arrow", self._outputs(case, inputs, targets, entry["failed"]))
        self.good += done
        if not done:
            entry |= {"status": "failed", "reason": next(iter(entry["failed"].values()), "there are no pictures")}

    def end(self) -> None:
        """Write the status; `UserError` where no picture could be restored."""
        if not self.good:
            words = next((entry["reason"] for entry in self.status["cases"].values()), "there are no pictures")
            raise UserError(f"The function restored no picture: {words}.") from self.first
        write_json(self.out / "status.json", self.status)

    def sentences(self, own: pd.DataFrame) -> list[str]:
        """What went wrong: a sentence names case and picture."""
        bad = own[own["status"] != "ok"]
        return [f"{row.case}, {row.name_of}: {row.reason}." for row in
                bad.rename(columns={"name": "name_of"}).itertuples()] + [
            f"{where[0]}{f' and {len(where) - 1} more' * (len(where) > 1)}: the function changed its input {key!r}; it "
            "was given a copy, so nothing is lost." for key, where in self.changed.items()]

    def _outputs(self, case: str, inputs: Shard, targets: Shard, failed: dict[str, str]) -> Iterator[Record]:
        from tqdm import tqdm

        for number, target in enumerate(tqdm(targets, desc=case, leave=False, delay=2)):
            sample = inputs[number]
            try:
                output = self._call(case, sample, target.arrays)
            except Exception as error:  # one picture must not take the others with it
                self.first = self.first or error
                words = " ".join(str(error).split())
                failed[target.id] = words if isinstance(error, _Wrong) else (
                    f"the function raised {type(error).__name__}{f': {words}' * bool(words)}")
                continue
            finally:
                inputs.release()
                targets.release()
            yield Record(target.id, output, target.facts)

    def _call(self, case: str, sample: Record, target: Arrays) -> Arrays:
        given = {key: np.array(value) for key, value in sample.arrays.items()}
        value = self.function(dict(given))
        for key, array in given.items():
            if not np.array_equal(array, sample.arrays[key]):
                self.changed.setdefault(key, []).append(f"{case}, {sample.facts.get('name', sample.id)}")
        try:
            output = adapted(self.task, value)
            check(self.task.name, output, sample.arrays, target)
        except ValueError as error:
            raise _Wrong(str(error)) from error
        return self.task.compose(sample.arrays, output)


class _Wrong(Exception):
    """What is wrong with an output, in a sentence without its full stop."""


@dataclass
class _Others:
    """The stored rows that the function is held against. `reference`: the row of the champion, or of whoever leads."""

    reference: str
    champion: bool
    baseline: str
    scores: pd.DataFrame
    about: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path, task: str, cases: list[str], name: str) -> _Others:
        """Those of the present project."""
        import pandas as pd

        if not NAME.fullmatch(name):
            raise UserError(f"{shown(name)} is no name for a row: use small letters, digits, - and _ (at most 63).")
        if name in scored_runs(root, task):
            raise UserError(f"{task} has a run {name!r} already; give the function another name.")
        stored = read_task(root, task)
        if stored is None:
            raise UserError(f"No run of {task} is scored in {root}; `make repro TASK={task}` scores them.")
        about = read_about(root, task, sorted(stored["run"].unique()))
        table = build_table(task, stored[stored["case"].isin(cases)], about, named_case(root, task))
        if table.empty:
            raise UserError(f"The stored scores of {task} have no case {cases[0]}; `make repro TASK={task}` makes "
                            "them.")
        ranked = table[(table["case"] == table["case"].iloc[0]) & (table["rank"] == 1)]
        leader, baseline = (str(frame.iloc[0]) if len(frame) else "" for frame in (ranked["run"], table["baseline"]))
        rows = stored[stored["run"].isin({leader, baseline})]
        champion = champion_scores.is_current(root, task)
        if champion:
            run = str(read_json(root / layout.champion(task) / "model.json")["run"])
            standing = sweeps.tested(task, read_scores(champion_scores.path(root, task)))
            leader = run if run == baseline else f"{run} (champion)"
            rows = rows[rows["run"] == baseline]
            rows = rows if run == baseline else pd.concat([rows, standing.assign(run=leader)], ignore_index=True)
            about = about | {leader: about.get(run, {}) if run == baseline else about.get(run, {}) | {"method": leader}}
        others = cls(leader, champion, baseline, rows[rows["case"].isin(cases)], about)
        others._check_pictures(root, task, cases)
        return others

    def _check_pictures(self, root: Path, task: str, cases: list[str]) -> None:
        """`UserError` where the stored rows are of other pictures than the samples that lie there."""
        for case in cases:
            targets = Shard(root / layout.samples(task) / "targets" / f"{case}.arrow")
            there = {targets.id(number) for number in range(len(targets))}
            for run, rows in self.scores[self.scores["case"] == case].groupby("run"):
                if set(rows["picture"]) != there:
                    raise UserError(f"The stored scores of {run} on {case} are of other pictures than those in "
                                    f"samples/{task}; `make repro TASK={task}` brings them together.")

    def rows(self, own: pd.DataFrame) -> pd.DataFrame:
        """The function's rows and the stored ones."""
        import pandas as pd

        rows = pd.concat([own, self.scores], ignore_index=True)
        return rows.sort_values(["run", "case", "picture"], ignore_index=True)


def _gains(rules: Protocol, others: _Others, rows: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The table with the paired difference of each row to the reference (`vs_champion`, positive is better)."""
    metric = with_distances(rules, rows.columns).metric(rules.primary)
    gains: dict[str, list[float]] = {f"{CHAMPION}{end}": [] for end in ("", "_low", "_high")}
    for row in table.to_dict("records"):
        of_case = rows[rows["case"] == row["case"]]
        own, reference = (of_case[of_case["run"] == run].sort_values("picture") for run in (row["run"],
                                                                                          others.reference))
        if own.empty or reference.empty:
            figures = (np.nan, np.nan, np.nan)
        else:
            values, theirs = (metric.direction * frame[metric.name].to_numpy(np.float64) for frame in (own, reference))
            estimate = paired(values, theirs, list(own["group"]), SEED)
            figures = (estimate.mean, estimate.low, estimate.high)
        for column, figure in zip(gains.values(), figures, strict=True):
            column.append(figure)
    return table.assign(**gains)
