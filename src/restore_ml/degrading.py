"""The degrade stage: prepared pictures become training material and test samples, one record at a time.

Every function streams: a picture is read by memory map, degraded, written and forgotten, so memory stays flat however
many pictures there are. The work goes through a `Mapper` in pieces: a shard of the training material, a chunk of a
case's pictures, a file of the contract; the bytes do not depend on the pieces. `prepared` is the folder with all
domains (`prepared/`), `out` the task's own folder (`samples/<task>/`). The steps can be called one by one (as named
tasks of a flow) or all together by `degrade`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from restore_ml.data import shards
from restore_ml.data.chunks import CHUNK, Chosen, Mapper, Place, pieces, places
from restore_ml.data.shards import Record, Shard
from restore_ml.errors import UserError
from restore_ml.files import write_whole
from restore_ml.tasks.base import ArraySpec, Case, Sample, Task

Progress = Callable[[str, int, int], None]
"""`progress(what, done, total)`: called after each picture or case."""

PREFIX = 2
"""Training shards are cut by the first hexadecimal digits of the picture's hash: at most 16 ** PREFIX files."""
FACTS = ("name", "collection", "group", "synthetic")
"""The facts of a prepared picture that go with each of its samples."""
KINDS = {"picture": "uint8", "mask": "uint8", "float": "float32", "number": "int32"}
"""The dtype on disk of each `ArraySpec.kind`."""
PARTS = ".parts"
"""Where the chunks of a case wait until all of them are there."""


def pixels(picture: Record) -> np.ndarray:
    """What of a prepared picture a task judges: the photo's `image`, or a scene's `target` date."""
    return picture.arrays["image"] if "image" in picture.arrays else picture.arrays["target"]


def test_sets(task: Task, prepared: Path) -> list[str]:
    """The names of the prepared test sets of the task's domain, sorted."""
    folder = prepared / task.domain / "test"
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _accepted(task: Task, settings: dict[str, Any], group: Sequence[Place]) -> list[Place]:
    """Those of the pictures that the task takes."""
    pictures = Chosen(group)
    return [place for place, picture in zip(group, pictures, strict=True)
            if task.accepts(pixels(picture), settings) is None]


def degrade(task: Task, prepared: Path, out: Path, seed: int, settings: dict[str, Any],
            progress: Progress | None = None, mapper: Mapper = map, chunk: int = CHUNK) -> list[str]:
    """The whole stage: training material, all test cases, and the table that contracts check. Returns the cases."""
    degrade_training(task, prepared, out, seed, settings, progress, mapper)
    cases = degrade_tests(task, prepared, out, seed, settings, progress, mapper, chunk)
    write_contract(task, out, mapper=mapper)
    return cases


def degrade_training(task: Task, prepared: Path, out: Path, seed: int, settings: dict[str, Any],
                     progress: Progress | None = None, mapper: Mapper = map) -> int:
    """Write `train/<prefix>.arrow` and `train/pools/<pool>/pool.arrow` below `out`; returns the number of records.

    A picture that the task does not accept is left out. Shards are cut by the picture's hash, so that adding pictures
    changes only the shards they fall in; each is one piece of work.
    """
    folder = prepared / task.domain / "train"
    if not folder.is_dir():
        raise UserError(f"There are no training pictures in {folder}; `dvc repro prepare` makes them.")
    shutil.rmtree(out / "train", ignore_errors=True)
    (out / "train").mkdir(parents=True)
    found = places(folder)
    groups = (list(group) for _, group in groupby(found, key=lambda place: place[0][:PREFIX]))
    taken: list[Place] = []
    done = count = 0
    for members, written, seen in mapper(partial(_training_shard, task, out, seed, settings), groups):
        taken += members
        count += written
        done += seen
        if progress:
            progress("training pictures", done, len(found))
    for name, pool in sorted(task.training_pools(Chosen(taken), seed, settings).items()):
        shards.write(out / "train" / "pools" / name / "pool.arrow", pool)
    return count


def _training_shard(task: Task, out: Path, seed: int, settings: dict[str, Any],
                    group: list[Place]) -> tuple[list[Place], int, int]:
    """Write the shard of some pictures of one prefix: those the task takes, records written, pictures seen."""
    taken = _accepted(task, settings, group)
    records = iter(task.training_records(Chosen(taken), seed, settings))
    first = next(records, None)
    path = out / "train" / f"{group[0][0][:PREFIX]}.arrow"
    return taken, 0 if first is None else shards.write(path, chain([first], records)), len(group)


def degrade_tests(task: Task, prepared: Path, out: Path, seed: int, settings: dict[str, Any],
                  progress: Progress | None = None, mapper: Mapper = map, chunk: int = CHUNK) -> list[str]:
    """Write all test cases; returns those that hold a picture, as `set/degradation`."""
    for part in ("inputs", "targets", PARTS):
        shutil.rmtree(out / part, ignore_errors=True)
    for part in ("inputs", "targets"):
        (out / part).mkdir(parents=True)
    wanted: list[tuple[Case, int]] = []
    work: list[_Piece] = []
    for name in test_sets(task, prepared):
        chunks = pieces(places(prepared / task.domain / "test" / name), chunk)
        for degradation in task.degradations(settings):
            wanted.append((Case(name, degradation), len(chunks)))
            work += [_Piece(name, degradation, part, number if len(chunks) > 1 else None)
                     for number, part in enumerate(chunks)]
    counts = iter(mapper(partial(_test_piece, task, out, seed, settings), work))
    cases = []
    for number, (case, parts) in enumerate(wanted, 1):
        written = [next(counts) for _ in range(parts)]
        if parts > 1:
            _join(out, case, [part for part, count in enumerate(written) if count])
        if sum(written):
            cases.append(str(case))
        if progress:
            progress("test cases", number, len(wanted))
    shutil.rmtree(out / PARTS, ignore_errors=True)
    return cases


def degrade_case(task: Task, prepared: Path, out: Path, test_set: str, degradation: str, seed: int,
                 settings: dict[str, Any]) -> int:
    """Write `inputs/<set>/<degradation>.arrow` and `targets/<set>/<degradation>.arrow`, same ids in the same order.

    Returns how many samples there are; where the task accepts no picture of the set, nothing is written.
    """
    found = places(prepared / task.domain / "test" / test_set)
    return _test_piece(task, out, seed, settings, _Piece(test_set, degradation, found, None))


@dataclass(frozen=True)
class _Piece:
    """Some pictures of a test case; `number` of the chunk, or None where they are all of them."""

    test_set: str
    degradation: str
    pictures: list[Place]
    number: int | None


def _test_piece(task: Task, out: Path, seed: int, settings: dict[str, Any], piece: _Piece) -> int:
    """Write the inputs and targets of some pictures; returns how many the task took."""
    samples = _samples(task, Chosen(piece.pictures), piece.degradation, seed, settings)
    first = next(samples, None)
    if first is None:
        return 0
    return shards.write_together(_files(out, piece.test_set, piece.degradation, piece.number), chain([first], samples))


def _files(out: Path, test_set: str, degradation: str, number: int | None) -> list[Path]:
    if number is None:
        return [out / part / test_set / f"{degradation}.arrow" for part in ("inputs", "targets")]
    return [out / PARTS / part / test_set / degradation / f"{number:08d}.arrow" for part in ("inputs", "targets")]


def _join(out: Path, case: Case, numbers: list[int]) -> None:
    """Put the chunks of a case together, in order, and take them away."""
    if not numbers:
        return
    given = [_files(out, case.test_set, case.degradation, number) for number in numbers]
    rows = (row for paths in given for row in zip(*(Shard(path) for path in paths), strict=True))
    shards.write_together(_files(out, case.test_set, case.degradation, None), rows)
    for path in chain.from_iterable(given):
        path.unlink()


def _samples(task: Task, pictures: Iterable[Record], degradation: str, seed: int,
             settings: dict[str, Any]) -> Iterator[tuple[Record, Record]]:
    for picture in pictures:
        if task.accepts(pixels(picture), settings) is not None:
            continue
        sample = task.test_sample(picture, degradation, seed, settings)
        check(task, sample)
        facts = {**{key: picture.facts.get(key) for key in FACTS}, **sample.facts}
        yield Record(picture.id, sample.inputs, facts), Record(picture.id, sample.target, facts)


def check(task: Task, sample: Sample) -> None:
    """That a sample holds exactly the arrays that its task declares, in their dtypes: else a `ValueError`."""
    for part, specs, arrays in (("inputs", task.inputs, sample.inputs), ("target", task.target, sample.target)):
        if set(arrays) != set(specs):
            raise ValueError(f"The {part} of {task.name} are {sorted(arrays)}, not {sorted(specs)}.")
        for name, spec in specs.items():
            if not _fits(spec, arrays[name]):
                raise ValueError(f"{name!r} of {task.name} is {arrays[name].dtype} {arrays[name].shape}, not {spec}.")


def _fits(spec: ArraySpec, value: np.ndarray) -> bool:
    """Dtype and rank; the number of channels of `float` arrays is the scene's own."""
    if value.dtype.name != KINDS[spec.kind] or value.ndim != (0 if spec.kind == "number" else 3):
        return False
    return spec.kind in ("number", "float") or value.shape[2] == spec.channels


# --- the table that contracts are checked on --------------------------------------------------------------------------

BASE = pa.schema([("split", pa.string()), ("case", pa.string()), ("test_set", pa.string()),
                  ("degradation", pa.string()), ("id", pa.string()), ("name", pa.string()), ("group", pa.string()),
                  ("synthetic", pa.bool_()), ("kind", pa.string()), ("arrays", pa.string()), ("finite", pa.bool_()),
                  ("hole_ratio", pa.float64())])
STATISTICS = {"dtype": pa.string(), "height": pa.int32(), "width": pa.int32(), "channels": pa.int32(),
              "min": pa.float64(), "max": pa.float64()}


def write_contract(task: Task, out: Path, rows_at_once: int = 1024, mapper: Mapper = map) -> int:
    """Write `contract.parquet` below `out`: one row per test sample, training record and pool record, as on disk.

    Columns: `split` (test, train or pool), `case` (`set/degradation`, `train` or the pool's name), `test_set`,
    `degradation`, `id`, `name`, `group`, `synthetic`, `kind` (of a pool record), `arrays` (their names), `finite` (all
    values), `hole_ratio` (mean of the array `mask`; null without one, and where the fact `dense` says that the mask
    only stands for the whole picture), and for each array (`inputs.image`,
    `target.image`, in training `record.image`) `.dtype`, `.height`, `.width`, `.channels`, `.min` and `.max`; null
    where a row has no such array. Returns the number of rows.
    """
    work = [piece for part in _contract_files(out) for piece in part]
    names = sorted(set().union(*mapper(_array_names, work)))
    columns = [pa.field(f"{name}.{key}", kind) for name in names for key, kind in STATISTICS.items()]
    schema = pa.schema([*BASE, *columns])
    count = 0

    def fill(temporary: Path) -> None:
        nonlocal count
        with pq.ParquetWriter(temporary, schema) as writer:
            rows: list[dict[str, Any]] = []
            for row in chain.from_iterable(mapper(_contract_rows, work)):
                rows.append(row)
                count += 1
                if len(rows) == rows_at_once:
                    writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                    rows.clear()
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))

    write_whole(out / "contract.parquet", fill)
    return count


@dataclass(frozen=True)
class _Rows:
    """Some records of a file of samples, or of an inputs file and its targets: the columns known and prefixes."""

    facts: dict[str, Any]
    paths: tuple[Path, ...]
    prefixes: tuple[str, ...]
    start: int
    stop: int


def _contract_files(out: Path) -> Iterator[list[_Rows]]:
    """All that is below `out`, in pieces of at most CHUNK records."""
    for path in sorted((out / "inputs").glob("*/*.arrow")):
        case = {"split": "test", "case": f"{path.parent.name}/{path.stem}", "test_set": path.parent.name,
                "degradation": path.stem}
        yield _cut(case, (path, out / "targets" / path.parent.name / path.name), ("inputs.", "target."))
    for path in [*sorted((out / "train").glob("*.arrow")), *sorted((out / "train" / "pools").glob("*/*.arrow"))]:
        pool = path.parent.parent.name == "pools"
        place = {"split": "pool", "case": path.parent.name} if pool else {"split": "train", "case": "train"}
        yield _cut(place, (path,), ("record.",))


def _cut(facts: dict[str, Any], paths: tuple[Path, ...], prefixes: tuple[str, ...]) -> list[_Rows]:
    lengths = {len(Shard(path)) for path in paths}
    if len(lengths) != 1:
        raise ValueError(f"{' and '.join(map(str, paths))} do not have the same number of records.")
    length = lengths.pop()
    return [_Rows(facts, paths, prefixes, start, min(start + CHUNK, length)) for start in range(0, length, CHUNK)]


def _entries(piece: _Rows) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """(columns of `BASE` that are known, arrays by prefixed name) of each record."""
    files = [Shard(path) for path in piece.paths]
    for number in range(piece.start, piece.stop):
        records = [file[number] for file in files]
        yield ({**piece.facts, **_own(records[0])},
               {f"{prefix}{name}": value for prefix, record in zip(piece.prefixes, records, strict=True)
                for name, value in record.arrays.items()})


def _array_names(piece: _Rows) -> set[str]:
    return {name for _, arrays in _entries(piece) for name in arrays}


def _contract_rows(piece: _Rows) -> list[dict[str, Any]]:
    return [_row(facts, arrays) for facts, arrays in _entries(piece)]


def _own(record: Record) -> dict[str, Any]:
    own = {key: record.facts.get(key) for key in ("name", "group", "synthetic", "kind")}
    return {"id": record.id, "dense": record.facts.get("dense", False), **own}


def _row(facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    dense = facts.pop("dense")
    row = {**facts, "arrays": ",".join(sorted(arrays)), "finite": True, "hole_ratio": None}
    for name, value in arrays.items():
        row["finite"] = row["finite"] and bool(np.isfinite(value).all())
        if name.endswith(".mask") and not dense:
            row["hole_ratio"] = float(value.mean())
        shape = (*value.shape, 1, 1, 1)[:3] if value.ndim else (1, 1, 1)
        low, high = (float(value.min()), float(value.max())) if value.size else (None, None)
        row |= {f"{name}.{key}": found for key, found in
                zip(STATISTICS, (value.dtype.name, *shape, low, high), strict=True)}
    return row
