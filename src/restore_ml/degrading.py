"""The degrade stage: prepared pictures become training material and test samples, one record at a time.

Every function streams: a picture is read by memory map, degraded, written and forgotten, so memory stays flat however
many pictures there are. `prepared` is the folder with all domains (`prepared/`), `out` the task's own folder
(`samples/<task>/`). The steps can be called one by one (as named tasks of a flow) or all together by `degrade`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from restore_ml.data import shards
from restore_ml.data.shards import Record, Shards
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


class Chosen(Sequence[Record]):
    """Some records of a folder of shards, read when they are asked for. `ids` are theirs, in order."""

    def __init__(self, records: Shards, indices: Sequence[int], ids: Sequence[str]) -> None:
        self.records, self.indices, self.ids = records, indices, ids

    def part(self, places: Sequence[int]) -> Chosen:
        """Those at the given places."""
        return Chosen(self.records, [self.indices[place] for place in places], [self.ids[place] for place in places])

    def __len__(self) -> int:
        """How many records are chosen."""
        return len(self.indices)

    def __getitem__(self, index: int) -> Record:  # type: ignore[override]
        """The chosen record at `index`."""
        return self.records[self.indices[index]]


def pixels(picture: Record) -> np.ndarray:
    """What of a prepared picture a task judges: the photo's `image`, or a scene's `target` date."""
    return picture.arrays["image"] if "image" in picture.arrays else picture.arrays["target"]


def test_sets(task: Task, prepared: Path) -> list[str]:
    """The names of the prepared test sets of the task's domain, sorted."""
    folder = prepared / task.domain / "test"
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def accepted(task: Task, folder: Path, settings: dict[str, Any]) -> Chosen:
    """The prepared pictures of `folder` that the task takes, in the order of their ids, still on disk."""
    pictures = Shards(folder)
    taken = [(index, picture.id) for index, picture in enumerate(pictures)
             if task.accepts(pixels(picture), settings) is None]
    return Chosen(pictures, [index for index, _ in taken], [identity for _, identity in taken])


def degrade(task: Task, prepared: Path, out: Path, seed: int, settings: dict[str, Any],
            progress: Progress | None = None) -> list[str]:
    """The whole stage: training material, all test cases, and the table that contracts check. Returns the cases."""
    degrade_training(task, prepared, out, seed, settings, progress)
    cases = degrade_tests(task, prepared, out, seed, settings, progress)
    write_contract(task, out)
    return cases


def degrade_training(task: Task, prepared: Path, out: Path, seed: int, settings: dict[str, Any],
                     progress: Progress | None = None) -> int:
    """Write `train/<prefix>.arrow` and `train/pools/<pool>/pool.arrow` below `out`; returns the number of records.

    A picture that the task does not accept is left out. Shards are cut by the picture's hash, so that adding pictures
    changes only the shards they fall in.
    """
    folder = prepared / task.domain / "train"
    if not folder.is_dir():
        raise UserError(f"There are no training pictures in {folder}; `dvc repro prepare` makes them.")
    shutil.rmtree(out / "train", ignore_errors=True)
    (out / "train").mkdir(parents=True)
    pictures = accepted(task, folder, settings)
    done = count = 0
    for prefix, group in groupby(range(len(pictures)), key=lambda place: pictures.ids[place][:PREFIX]):
        chosen = pictures.part(list(group))
        records = iter(task.training_records(chosen, seed, settings))
        first = next(records, None)
        if first is not None:
            count += shards.write(out / "train" / f"{prefix}.arrow", chain([first], records))
        done += len(chosen)
        if progress:
            progress("training pictures", done, len(pictures))
    for name, pool in sorted(task.training_pools(pictures, seed, settings).items()):
        shards.write(out / "train" / "pools" / name / "pool.arrow", pool)
    return count


def degrade_tests(task: Task, prepared: Path, out: Path, seed: int, settings: dict[str, Any],
                  progress: Progress | None = None) -> list[str]:
    """Write all test cases; returns those that hold a picture, as `set/degradation`."""
    for part in ("inputs", "targets"):
        shutil.rmtree(out / part, ignore_errors=True)
        (out / part).mkdir(parents=True)
    wanted = [Case(name, degradation) for name in test_sets(task, prepared)
              for degradation in task.degradations(settings)]
    cases = []
    for number, case in enumerate(wanted, 1):
        if degrade_case(task, prepared, out, case.test_set, case.degradation, seed, settings):
            cases.append(str(case))
        if progress:
            progress("test cases", number, len(wanted))
    return cases


def degrade_case(task: Task, prepared: Path, out: Path, test_set: str, degradation: str, seed: int,
                 settings: dict[str, Any]) -> int:
    """Write `inputs/<set>/<degradation>.arrow` and `targets/<set>/<degradation>.arrow`, same ids in the same order.

    Returns how many samples there are; where the task accepts no picture of the set, nothing is written.
    """
    samples = _samples(task, prepared / task.domain / "test" / test_set, degradation, seed, settings)
    first = next(samples, None)
    if first is None:
        return 0
    paths = [out / part / test_set / f"{degradation}.arrow" for part in ("inputs", "targets")]
    return shards.write_together(paths, chain([first], samples))


def _samples(task: Task, folder: Path, degradation: str, seed: int,
             settings: dict[str, Any]) -> Iterator[tuple[Record, Record]]:
    for picture in Shards(folder):
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


def write_contract(task: Task, out: Path, rows_at_once: int = 1024) -> int:
    """Write `contract.parquet` below `out`: one row per test sample, training record and pool record, as on disk.

    Columns: `split` (test, train or pool), `case` (`set/degradation`, `train` or the pool's name), `test_set`,
    `degradation`, `id`, `name`, `group`, `synthetic`, `kind` (of a pool record), `arrays` (their names), `finite` (all
    values), `hole_ratio` (mean of the array `mask`; null without one, and where the fact `dense` says that the mask
    only stands for the whole picture), and for each array (`inputs.image`,
    `target.image`, in training `record.image`) `.dtype`, `.height`, `.width`, `.channels`, `.min` and `.max`; null
    where a row has no such array. Returns the number of rows.
    """
    names = sorted({name for _, arrays in _entries(out) for name in arrays})
    columns = [pa.field(f"{name}.{key}", kind) for name in names for key, kind in STATISTICS.items()]
    schema = pa.schema([*BASE, *columns])
    count = 0

    def fill(temporary: Path) -> None:
        nonlocal count
        with pq.ParquetWriter(temporary, schema) as writer:
            rows: list[dict[str, Any]] = []
            for facts, arrays in _entries(out):
                rows.append(_row(facts, arrays))
                count += 1
                if len(rows) == rows_at_once:
                    writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                    rows.clear()
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))

    write_whole(out / "contract.parquet", fill)
    return count


def _entries(out: Path) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """(columns of `BASE` that are known, arrays by prefixed name) of all that is below `out`."""
    for path in sorted((out / "inputs").glob("*/*.arrow")):
        case = {"split": "test", "case": f"{path.parent.name}/{path.stem}", "test_set": path.parent.name,
                "degradation": path.stem}
        targets = shards.Shard(out / "targets" / path.parent.name / path.name)
        for given, truth in zip(shards.Shard(path), targets, strict=True):
            yield ({**case, **_own(given)}, {**{f"inputs.{name}": value for name, value in given.arrays.items()},
                                             **{f"target.{name}": value for name, value in truth.arrays.items()}})
    for path in [*sorted((out / "train").glob("*.arrow")), *sorted((out / "train" / "pools").glob("*/*.arrow"))]:
        pool = path.parent.parent.name == "pools"
        place = {"split": "pool", "case": path.parent.name} if pool else {"split": "train", "case": "train"}
        for record in shards.Shard(path):
            yield {**place, **_own(record)}, {f"record.{name}": value for name, value in record.arrays.items()}


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
