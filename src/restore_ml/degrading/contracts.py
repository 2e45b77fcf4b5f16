"""The contracts that data must keep before anything is trained on it: suites on manifests and on every task's samples.

A suite has one fixed list of expectations, whatever collections there are, so validation/<task>.json keeps its bytes
while the contract holds, and adding a test set retrains nothing. Failing rows are named in the error and in Data Docs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore_ml import registry
from restore_ml.arrays import ArraySpec
from restore_ml.base.errors import UserError
from restore_ml.base.files import write_json
from restore_ml.data import domains
from restore_ml.data.data_docs import Expect, Failure, Suite, run
from restore_ml.data.manifest import COLUMNS, QUARANTINE, QUARANTINE_COLUMNS, manifests, read_table
from restore_ml.data.pictures import MAX_PIXELS
from restore_ml.kinds import CLIP, MASK, PICTURE

if TYPE_CHECKING:
    import pandas as pd

    from restore_ml.tasks.base import Task

CONTRACT = "contract.parquet"

def validate(prepared: Path, samples: Path, tasks: list[str], out: Path, docs: Path) -> dict[str, bool]:
    """Check all suites in one process; write out/<task>.json for every task whose contract holds, and Data Docs.

    Reads the manifests and quarantine below `prepared` and samples/<task>/contract.parquet. Returns True for each
    task. A broken contract raises a `UserError` that names suite, expectation and rows, after everything is written;
    the file of a task whose contract is broken is removed.
    """
    chosen = {name: registry.task(name) for name in tasks}
    tables = {path: _frame(path) for path in manifests(prepared)}
    by_task: dict[str, list[Suite]] = {}
    shared: dict[str, list[Suite]] = {}
    for name, item in chosen.items():
        if item.domain not in shared:
            shared[item.domain] = manifest_suites(item.domain, prepared, tables)
        by_task[name] = shared[item.domain] + task_suites(item, _frame(samples / name / CONTRACT), tables, prepared)
    suites = {suite.name: suite for members in by_task.values() for suite in members}
    failures = run(list(suites.values()), docs)
    broken = {failure.suite for failure in failures}
    outcome = {name: not broken & {suite.name for suite in members} for name, members in by_task.items()}
    for name, members in by_task.items():
        if outcome[name]:
            write_json(out / f"{name}.json", {"task": name, "success": True, "suites": {
                suite.name: sorted(map(str, suite.expectations)) for suite in members}})
        else:
            (out / f"{name}.json").unlink(missing_ok=True)
    if failures:
        raise UserError(_sentence(failures, docs))
    return outcome


def _sentence(failures: Sequence[Failure], docs: Path) -> str:
    lines = "\n".join(f"  {failure}" for failure in failures[:10])
    more = f"\n  and {len(failures) - 10} more" if len(failures) > 10 else ""
    return (f"{len(failures)} expectations on the data are not met, so nothing is trained:\n{lines}{more}\n"
            f"Look at {docs / 'index.html'}, mend or remove the pictures named, and run `dvc repro` again.")


def manifest_suites(domain: str, prepared: Path, tables: dict[Path, pd.DataFrame]) -> list[Suite]:
    """The suites of a domain: what is learned from, what is tested on, that they are disjoint, and the quarantine."""
    import pandas as pd

    parts = {path: table for path, table in tables.items() if path.relative_to(prepared).parts[0] == domain}
    empty = COLUMNS.empty_table().to_pandas()
    learn = pd.concat([empty, *(table for path, table in parts.items() if "test" not in path.parts[-3:-1])])
    test = pd.concat([empty, *(table for path, table in parts.items() if "test" in path.parts[-3:-1])])
    learn, test = (_typed(frame) for frame in (learn, test))
    both = pd.concat([learn[["id", "path", "split"]], test[["id", "path", "split"]]])
    sides = both.groupby("id").agg(splits=("split", lambda values: "+".join(sorted({str(value) for value in values}))),
                                   path=("path", "first")).reset_index()
    return [
        Suite(f"{domain}_learn", learn, [*_manifest(domain), _unique("id"), _unique("path"),
              Expect("ColumnDistinctValuesToEqualSet", {"column": "split", "value_set": ["train", "validation"]})],
              ("path",)),
        Suite(f"{domain}_test", test, [*_manifest(domain), _unique("path"), _one_of("split", ["test"]),
              Expect("CompoundColumnsToBeUnique", {"column_list": ["collection", "id"]}), _rows(1)], ("path",)),
        Suite(f"{domain}_disjoint", sides, [_one_of("splits", ["train", "validation", "test"])], ("path", "id")),
        Suite("quarantine", _frame(prepared / QUARANTINE), [
            Expect("TableColumnsToMatchOrderedList", {"column_list": QUARANTINE_COLUMNS.names}), _present("path"),
            _matches("reason", r"\S"), _unique_pair("path", "reason")], ("path",)),
    ]


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with plain bools where joining it to an empty one has made objects of them."""
    return frame.astype({"synthetic": "bool"} if frame["synthetic"].notna().all() else {}).reset_index(drop=True)


def _manifest(domain: str) -> list[Expect]:
    """What every manifest of a domain keeps."""
    kind = domains.get(domain)
    side = {"min_value": kind.min_side, "max_value": MAX_PIXELS // kind.min_side}
    return [Expect("TableColumnsToMatchOrderedList", {"column_list": COLUMNS.names}),
            *(_present(name) for name in COLUMNS.names),
            *(Expect("ColumnValuesToBeOfType", {"column": name, "type_": "int32"})
              for name in ("width", "height", "channels")),
            Expect("ColumnValuesToBeOfType", {"column": "synthetic", "type_": "bool"}),
            _matches("id", "^[0-9a-f]{64}$"), _matches("path", r"^[a-z0-9][a-z0-9_-]*/pictures/[^/]"),
            _matches("collection", "^[a-z0-9][a-z0-9_-]*$"), _matches("licence", r"\S"),
            Expect("ColumnValuesToBeBetween", {"column": "width", **side}),
            Expect("ColumnValuesToBeBetween", {"column": "height", **side}),
            _one_of("channels", [*kind.channels]) if kind.channels else Expect(
                "ColumnValuesToBeBetween", {"column": "channels", "min_value": 1, "max_value": 64}),
            _one_of("dtype", [kind.dtype])]


def task_suites(item: Task, frame: pd.DataFrame, tables: dict[Path, pd.DataFrame], prepared: Path) -> list[Suite]:
    """The suites of a task's samples: its training material, and its tests where it has any."""
    absent = {name: None for name in ("split", "case", "test_set", "id", "name", "group") if name not in frame}
    frame = frame.assign(**absent)  # the expectations below then say what is missing
    optional = registry.parts(item.name).optional  # of test samples, all of them are drawn
    inputs = {**item.inputs, **(optional.inputs if optional else {})}
    arrays = {**{f"inputs.{name}": spec for name, spec in inputs.items()},
              **{f"target.{name}": spec for name, spec in item.target.items()}}
    frame = frame.assign(origin=_origin(item, frame, tables, prepared), aligned=_aligned(arrays, frame))
    learn = frame[frame["split"] != "test"].reset_index(drop=True)
    # a column of test arrays is empty for training rows and the reverse; dtypes are compared over all columns there are
    kinds = [name for name in frame.columns if name.startswith("record.") and name.endswith(".dtype")]
    learn["dtypes"] = [",".join(sorted({str(value) for value in row if isinstance(value, str)} - DTYPES))
                       for row in learn[kinds].itertuples(index=False)]
    suites = [Suite(f"{item.name}_training", learn, [
        Expect("ColumnDistinctValuesToContainSet", {"column": "split", "value_set": ["train"]}),
        _one_of("split", ["train", "pool"]), _present("split"), _present("id"), _unique_pair("case", "id"),
        _one_of("finite", [True]), _one_of("dtypes", [""]), _one_of("origin", ["train", "pool"])],
        ("case", "id", "name"))]
    if item.name not in registry.tables():
        return suites
    test = frame[frame["split"] == "test"].reset_index(drop=True)
    cases = registry.parts(item.name).cases
    if cases is not None and cases.without_truth:
        given = {name: spec for name, spec in arrays.items() if name.startswith("inputs.")}
        found = test["degradation"].isin(cases.without_truth)
        suites.append(_as_found(item, test[found].reset_index(drop=True), given))
        test = test[~found].reset_index(drop=True)
    expectations = [_rows(1), _present("id"), _present("name"), _present("group"), _unique_pair("case", "id"),
                    _matches("case", "^[^/]+/[^/]+$"), _one_of("finite", [True]), _one_of("aligned", [True]),
                    _one_of("origin", ["test"]), _one_of("arrays", [",".join(sorted(arrays))])]
    for name, spec in sorted(arrays.items()):
        expectations += _array(name, spec, name.removeprefix("inputs.") in item.inputs)
    return [*suites, Suite(f"{item.name}_tests", test, expectations, ("case", "id", "name"))]


def _as_found(item: Task, found: pd.DataFrame, given: dict[str, ArraySpec]) -> Suite:
    """The samples whose truth nobody knows: inputs alone, and there need be none."""
    found = found.assign(aligned=_aligned(given, found))
    expectations = [_present("id"), _present("name"), _present("group"), _unique_pair("case", "id"),
                    _one_of("finite", [True]), _one_of("aligned", [True]), _one_of("origin", ["test"]),
                    _one_of("arrays", [",".join(sorted(given))])]
    for name, spec in sorted(given.items()):
        expectations += _array(name, spec, name.removeprefix("inputs.") in item.inputs)
    return Suite(f"{item.name}_as_found", found, expectations, ("case", "id", "name"))


DTYPES = {"uint8", "uint16", "int32", "float32"}
"""What shards hold."""


def _array(name: str, spec: ArraySpec, needed: bool) -> list[Expect]:
    """Dtype, channels and range of one array of the test samples; `needed`: an input that every method sees."""
    low, high = spec.range
    expectations = [_present(f"{name}.dtype"), _one_of(f"{name}.dtype", [spec.kind.dtype])]
    if spec.kind.rows is not None:
        expectations += [Expect("ColumnValuesToBeBetween", {"column": f"{name}.{side}", "min_value": 1})
                         for side in ("height", "width")]
    if spec.kind in (PICTURE, MASK, CLIP) and spec.channels:
        expectations.append(_one_of(f"{name}.channels", [spec.channels]))
    if low is not None or high is not None:
        expectations += [Expect("ColumnValuesToBeBetween", {"column": f"{name}.{end}", **{
            bound: value for bound, value in (("min_value", low), ("max_value", high)) if value is not None}})
            for end in ("min", "max")]
    if spec.kind is MASK and needed:  # without a hole it tests nothing, without a known pixel it cannot be restored
        expectations.append(Expect("ColumnValuesToBeBetween", {
            "column": f"{name}.mean", "min_value": 0, "max_value": 1, "strict_min": True, "strict_max": True}))
    return expectations


def _origin(item: Task, frame: pd.DataFrame, tables: dict[Path, pd.DataFrame], prepared: Path) -> list[str]:
    """Where each row's picture stands in the manifests: `train`, `test`, `pool`, or words for what is wrong."""
    ids = {path.parent.relative_to(prepared).as_posix(): set(table["id"]) for path, table in tables.items()
           if "id" in table}
    cases = registry.parts(item.name).cases
    kinds = [item.domain, *(cases.also_from if cases else ())]

    def origin(split: str, case: str, test_set: str, identity: str) -> str:
        if split == "pool":
            return "pool"
        if split == "test":
            there = any(identity in ids.get(f"{kind}/test/{test_set}", set()) for kind in kinds)
            return "test" if there else "not in the test manifest"
        there = identity in ids.get(f"{item.roles.get(case, item.domain)}/train", set())
        return "train" if there else "not in the training manifest"

    return [origin(*row) for row in zip(*(frame[name] for name in ("split", "case", "test_set", "id")), strict=True)]


def _aligned(specs: dict[str, ArraySpec], frame: pd.DataFrame) -> pd.Series:
    """Whether the arrays of a test row have the sizes that their specs ask for (`size_of`, times their `scale`).

    `specs`: by the names of the columns (`inputs.lr`).
    """
    import pandas as pd

    by_name = {name.partition(".")[2]: name for name in reversed(specs)}  # inputs come first, so they win
    good = pd.Series(True, frame.index)
    for name, spec in specs.items():
        if spec.kind.rows is None or not spec.size_of:
            continue
        scale = frame.get(f"{by_name[spec.scale]}.max", None) if spec.scale else None
        for side in ("height", "width"):
            columns = [f"{name}.{side}", f"{by_name[spec.size_of]}.{side}"]
            if not set(columns) <= set(frame.columns):
                continue  # what is missing is found by other expectations
            size, expected = (frame[column].astype("float64") for column in columns)
            good &= size == (expected if scale is None else expected * scale.astype("float64"))
    return good | (frame["split"] != "test")


def _frame(path: Path) -> pd.DataFrame:
    return read_table(path).to_pandas()


def _present(column: str) -> Expect:
    return Expect("ColumnValuesToNotBeNull", {"column": column})


def _unique(column: str) -> Expect:
    return Expect("ColumnValuesToBeUnique", {"column": column})


def _unique_pair(*columns: str) -> Expect:
    return Expect("CompoundColumnsToBeUnique", {"column_list": list(columns)})


def _matches(column: str, regex: str) -> Expect:
    return Expect("ColumnValuesToMatchRegex", {"column": column, "regex": regex})


def _one_of(column: str, values: list[Any]) -> Expect:
    return Expect("ColumnValuesToBeInSet", {"column": column, "value_set": values})


def _rows(least: int) -> Expect:
    return Expect("TableRowCountToBeBetween", {"min_value": least})
