"""Score rows: one per run x case x picture, from the truth on disk and what the runs restored. Knows no method.

A case that a run cannot do or failed on, and a picture that it failed on, keep their rows with the reason and NaN
metrics. Rows are made record by record from memory-mapped shards, so memory stays flat however many pictures there are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from restore_ml import registry
from restore_ml.arrays import Arrays, ArraySpec, expected_size
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, write_whole
from restore_ml.data.ledger import Ledger
from restore_ml.data.shards import Record, Shard, hash_of
from restore_ml.tasks.panels import panel
from restore_ml.tasks.protocol import Protocol, protocol, with_distances

if TYPE_CHECKING:
    import pandas

    from restore_ml.evaluation.perceptual import Distances

KEYS = ("task", "run", "case", "test_set", "degradation", "picture", "name", "group", "synthetic", "seed", "status",
        "reason")
ROWS = 10_000
"""Rows beyond which they are packed into columns, which take less memory than dictionaries."""
STATUSES = ("ok", "failed", "unsupported")


def score(task: str, samples: Path, restored: Path, runs: list[dict[str, Any]],
          distances: Distances | None = None, ledger: Ledger | None = None,
          primary: str | None = None) -> pandas.DataFrame:
    """The score rows of some runs of a task, sorted by run, case and picture.

    `samples`: samples/<task> (with inputs/ and targets/); `restored`: restored/<task>; `runs`: mappings with `run` and
    `seed` (-1 in the rows when the entry has none); `distances`: by networks, between the pictures as shown, a column
    each; `ledger`: remembers what was measured of each picture (its maker must be the code), so that only outputs that
    are new are measured; `primary`: the case that ranks (None: the protocol's own, or the nearest to it). Columns:
    `KEYS`, then the metrics (float64, NaN unless the status is ok). Nothing that a run did raises: it ends in the row's
    reason. `UserError` when the samples themselves are missing or broken.
    """
    import pandas

    rules = with_distances(protocol(task), distances.measures if distances else [])
    names = [metric.name for metric in rules.metrics]
    parts: list[pandas.DataFrame] = []
    rows: list[dict[str, Any]] = []
    statuses = {entry["run"]: _run_status(restored / entry["run"]) for entry in runs}
    cases = cases_on_disk(samples)
    if primary is None and cases:
        primary = rules.primary_case(cases)
    for case in cases:
        inputs, targets = Shard(samples / "inputs" / f"{case}.arrow"), Shard(samples / "targets" / f"{case}.arrow")
        if _ids(inputs) != _ids(targets):
            raise UserError(f"The inputs and targets of {task} {case} hold different pictures; run `dvc repro`.")
        earlier = _EarlierFigures(ledger or Ledger(), case, targets)
        context = _Once(partial(_context, rules, targets))
        test_set, degradation = case.split("/")
        for entry in runs:
            own = {"task": task, "run": entry["run"], "case": case, "test_set": test_set, "degradation": degradation,
                   "seed": int(entry.get("seed", -1))}
            rows += (own | row for row in _case_rows(rules, case, case == primary, inputs, targets,
                                                     restored / entry["run"], statuses[entry["run"]], context,
                                                     distances, earlier))
            if len(rows) > ROWS:
                parts.append(_frame(rows, names))
                rows = []
    frame = pandas.concat([*parts, _frame(rows, names)], ignore_index=True)
    return frame.sort_values(["run", "case", "picture"], ignore_index=True)


def _frame(rows: list[dict[str, Any]], metrics: list[str]) -> pandas.DataFrame:
    """Rows with the columns and kinds of `score`."""
    import pandas

    frame = pandas.DataFrame(rows, columns=[*KEYS, *metrics])
    return frame.astype({**dict.fromkeys(KEYS, "str"), "synthetic": "bool", "seed": "int64",
                         **dict.fromkeys(metrics, "float64")})


def _ids(shard: Shard) -> list[str]:
    return [shard.id(number) for number in range(len(shard))]


def cases_on_disk(samples: Path) -> list[str]:
    """The cases (`set/degradation`) that samples/<task>/targets holds, sorted."""
    folder = samples / "targets"
    if not folder.is_dir():
        raise UserError(f"There are no test samples in {folder}; `dvc repro` makes them.")
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.glob("*/*.arrow"))


def _run_status(folder: Path) -> dict[str, Any]:
    """What status.json says; a missing or broken one is a failed run. No path: reasons stand in tracked files."""
    try:
        status = read_json(folder / "status.json")
    except UserError:
        status = None
    if not isinstance(status, dict) or not isinstance(status.get("cases"), dict):
        word = "unreadable" if (folder / "status.json").exists() else "missing"
        return {"status": "failed", "reason": f"the run's status.json is {word}", "cases": {}}
    return status


def _problem(status: dict[str, Any], case: str) -> tuple[str, str] | None:
    """Status and reason of all rows of a case that the run could not do, or None."""
    said = status["cases"].get(case)
    if status.get("status", "ok") != "ok":
        word = "" if status["status"] == "failed" else f"{status['status']}: "
        return "failed", word + str(status.get("reason") or "the run failed without a reason")
    if said is None:
        return "failed", "the run did not restore this case"
    if said.get("status") != "ok":
        return (said["status"] if said.get("status") in STATUSES else "failed",
                str(said.get("reason") or "no reason was given"))
    return None


def _case_rows(rules: Protocol, case: str, first: bool, inputs: Shard, targets: Shard, folder: Path,
               status: dict[str, Any], context: _Once, distances: Distances | None,
               earlier: _EarlierFigures) -> Iterator[dict[str, Any]]:
    """What the columns from `picture` on hold for each picture of the case; metrics that are not known are left out."""
    problem = _problem(status, case)
    entry_run = folder.name
    outputs: dict[str, int] = {}
    shard: Shard | None = None
    if problem is None:
        path = folder / f"{case}.arrow"
        try:
            shard = Shard(path)
            outputs = {identity: number for number, identity in enumerate(_ids(shard))}
        except (UserError, pa.ArrowException, OSError, ValueError):
            problem = "failed", f"the run's output {path.name} is {'broken' if path.exists() else 'missing'}"
    refused = (status["cases"].get(case) or {}).get("failed") or {}
    for number, target in enumerate(targets):
        said: tuple[str, str] = ("ok", "")
        values: dict[str, float] = {}
        if problem is not None:
            said = problem
        elif target.id in refused:
            said = "failed", str(refused[target.id])
        elif shard is None or target.id not in outputs:
            said = "failed", "the run wrote no output for this picture"
        else:
            try:
                restored, sample = shard[outputs[target.id]], inputs[number]
                before = earlier.values(entry_run, sample, restored)
                values = before or _measure(rules, case, first, sample.arrays, restored.arrays, target.arrays,
                                            context, distances)
                if before is None:
                    earlier.remember(entry_run, sample, restored, values)
            except UserError:
                said = "failed", f"the run's output {shard.path.name} is broken"
            except (ValueError, pa.ArrowException, OSError) as error:
                said, values = ("failed", _sentence(error)), {}
            for read in (inputs, targets, shard):
                read.release()
        described = target.facts
        yield {"picture": target.id, "name": str(described.get("name", target.id[:16])),
               "group": str(described.get("group") or target.id), "synthetic": bool(described.get("synthetic", False)),
               "status": said[0], "reason": said[1], **values}


def _context(rules: Protocol, targets: Shard) -> Any:
    return rules.context(record.arrays for record in targets)


def _measure(rules: Protocol, case: str, first: bool, inputs: Arrays, output: Arrays, target: Arrays, context: _Once,
             distances: Distances | None) -> dict[str, float]:
    check(rules.task, output, inputs, target)
    values = rules.measure(inputs, output, target, context.value())
    if first:
        values |= rules.measure_on_primary(inputs, output, target)
    if distances is not None and distances.on(case):
        shown = rules.show(inputs, output, target)
        if "truth" in shown:
            values |= distances.measure(case, panel(shown["output"]).still, panel(shown["truth"]).still)
        values |= distances.between(case, rules.drawn(inputs, output))
    return values


class _Once:
    """A value that is worked out when it is asked for first."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._values: list[Any] = []

    def value(self) -> Any:
        if not self._values:
            self._values.append(self._work())
        return self._values[0]


class _EarlierFigures:
    """What was measured of a case's pictures before, believed while the input, the output and all targets of the case
    are the same (a case's metrics may rest on all its targets)."""

    def __init__(self, ledger: Ledger, case: str, targets: Shard) -> None:
        self.ledger, self.case = ledger, case
        self.targets = ledger.digest(targets.path) if ledger.on else ""

    def values(self, run: str, sample: Record, output: Record) -> dict[str, float] | None:
        if not self.ledger.on:
            return None
        value = self.ledger.get(self._path(run, output), self._key(sample, output))
        return json.loads(value) if value else None

    def remember(self, run: str, sample: Record, output: Record, values: dict[str, float]) -> None:
        if self.ledger.on:
            self.ledger.put(self._path(run, output), json.dumps(values), self._key(sample, output))

    def _path(self, run: str, output: Record) -> Path:
        return Path(run, self.case, output.id)

    def _key(self, sample: Record, output: Record) -> str:
        return f"{self.targets} {hash_of(sample)} {hash_of(output)}"


def check(task: str, output: Arrays, inputs: Arrays, target: Arrays) -> None:
    """Raise `ValueError` in a sentence unless the output is what the task declares, in kind, size and finite values."""
    declared = registry.task(task)
    for name, spec in declared.output.items():
        if name in output:
            _check_array(name, output[name], spec, expected_size(spec, {**target, **inputs}, declared.arrays))
        elif name not in declared.optional_output:
            raise ValueError(f"the output has no array {name!r}")


def _check_array(name: str, value: np.ndarray, spec: ArraySpec, expected: tuple[int, int] | None) -> None:
    problem = spec.problem(value)
    if problem:
        raise ValueError(f"the output {name!r} is not what the task declares: {problem}")
    if expected not in (None, spec.kind.size(value)):
        raise ValueError(f"the output {name!r} is {spec.kind.size(value)} pixels; it must be {expected}")
    if not np.isfinite(value).all():
        raise ValueError(f"the output {name!r} holds values that are not finite")


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def write_scores(path: Path, scores: pandas.DataFrame) -> None:
    """Write score rows as Parquet, whole or not at all: equal rows give equal bytes (sorted, fixed options)."""
    import pyarrow.parquet as pq

    kinds = {"synthetic": pa.bool_(), "seed": pa.int64()}
    schema = pa.schema([(name, kinds.get(name, pa.string() if name in KEYS else pa.float64()))
                        for name in scores.columns])
    ordered = scores.sort_values(["run", "case", "picture"], ignore_index=True)
    table = pa.Table.from_pandas(ordered, schema=schema, preserve_index=False).replace_schema_metadata(None)
    write_whole(path, lambda temporary: pq.write_table(
        table, temporary, version="2.6", compression="zstd", compression_level=3, use_dictionary=True,
        write_statistics=True, row_group_size=1 << 16, store_schema=False))


def read_scores(path: Path) -> pandas.DataFrame:
    """Read score rows; a missing or broken file is a `UserError` that names it."""
    import pandas

    try:
        return pandas.read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; `dvc repro` makes it.") from None
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is no readable score table ({_sentence(error)}); delete it and run `dvc repro`."
                        ) from None


def read_task(root: Path, task: str) -> pandas.DataFrame | None:
    """The score rows of all runs that a task has now, sorted by run, case and picture; None where nothing is scored.

    A run that is not scored yet is left out; the files of runs that are gone are not looked at.
    """
    import pandas

    names = scored_runs(root, task)
    if not names:
        return None
    frames = [read_scores(root / layout.scores(task, name)) for name in names]
    frames = [frame for frame in frames if len(frame)] or frames[:1]
    return pandas.concat(frames, ignore_index=True).sort_values(["run", "case", "picture"], ignore_index=True)


def scored_runs(root: Path, task: str) -> list[str]:
    """The runs that code/compare/<task>.json names (all, where that is not there) and that have scores, sorted."""
    there = {path.stem for path in (root / layout.scores(task)).glob("*.parquet")}
    asked = root / layout.code("compare", task)
    named = {entry["run"] for entry in read_json(asked)["runs"]} if asked.exists() else there
    return sorted(there & named)
