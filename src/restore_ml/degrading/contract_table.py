"""The table that contracts are checked on: a row for each sample, training record and pool record of a task.

Like the samples it is written in pieces over a `Mapper`, some records of a file each, and streamed to disk. Values are
read once; the rows of files that a `Ledger` knows are not made again.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from restore_ml.base.files import write_whole
from restore_ml.data.chunks import CHUNK, Mapper
from restore_ml.data.ledger import Ledger, mark
from restore_ml.data.shards import Record, Shard

BASE = pa.schema([("split", pa.string()), ("case", pa.string()), ("test_set", pa.string()),
                  ("degradation", pa.string()), ("id", pa.string()), ("name", pa.string()), ("group", pa.string()),
                  ("synthetic", pa.bool_()), ("kind", pa.string()), ("arrays", pa.string()), ("finite", pa.bool_())])
STATISTICS = {"dtype": pa.string(), "height": pa.int32(), "width": pa.int32(), "channels": pa.int32(),
              "min": pa.float64(), "max": pa.float64(), "mean": pa.float64()}


def write_contract(out: Path, rows_at_once: int = 1024, mapper: Mapper = map, ledger: Ledger | None = None) -> int:
    """Write `contract.parquet` below the task's folder `out`: a row per test sample, training and pool record on disk.

    Columns: `split` (test, train or pool), `case` (`set/degradation`, `train`, or the name of a role or pool),
    `test_set`, `degradation`, `id`, `name`, `group`, `synthetic`, `kind` (of a pool record), `arrays` (their names),
    `finite` (all values), and for each array (`inputs.image`, `target.image`, in training `record.image`) `.dtype`,
    `.height`, `.width`, `.channels`, `.min`, `.max`, and `.mean` of small whole numbers (a mask's hole ratio); null
    where a row has no such array. Returns the number of rows.
    """
    count = 0
    names: set[str] = set()
    # which arrays there are is known only behind the last row, and the rows of many pictures do not fit into memory
    with tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
        for text in _texts(out, mapper, ledger or Ledger()):
            for line in text.splitlines():
                names |= set(filter(None, json.loads(line)["arrays"].split(",")))
                count += 1
            spool.write(text)
        columns = [pa.field(f"{name}.{key}", kind) for name in sorted(names) for key, kind in STATISTICS.items()]
        schema = pa.schema([*BASE, *columns])

        def fill(temporary: Path) -> None:
            spool.seek(0)
            with pq.ParquetWriter(temporary, schema) as writer:
                while rows := [json.loads(line) for line in islice(spool, rows_at_once)]:
                    writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                if count % rows_at_once == 0:
                    writer.write_table(schema.empty_table())

        write_whole(out / "contract.parquet", fill)
    return count


def _texts(out: Path, mapper: Mapper, ledger: Ledger) -> Iterator[str]:
    """The rows of each file in turn, as lines of JSON (which keeps a float to the bit)."""
    files = [(paths, pieces, _remembered(ledger, paths)) for paths, pieces in _contract_files(out)]
    missing = [piece for _, pieces, remembered in files if remembered is None for piece in pieces]
    new_rows = iter(mapper(_contract_lines, missing))
    for paths, pieces, remembered in files:
        if remembered is not None:
            yield remembered
            continue
        seen = [mark(path) for path in paths]
        text = "".join(next(new_rows) for _ in pieces)
        for path, own in zip(paths, seen, strict=True):
            ledger.put(path, text if path == paths[0] else "", seen=own)
        ledger.save()
        yield text
    ledger.prune(out, (path for paths, _, _ in files for path in paths))
    ledger.save()


def _remembered(ledger: Ledger, paths: tuple[Path, ...]) -> str | None:
    texts = [ledger.get(path) for path in paths]
    return None if any(value is None for value in texts) else texts[0]


@dataclass(frozen=True)
class _Rows:
    """Some records of a file of samples, or of an inputs file and its targets: the columns known and prefixes."""

    facts: dict[str, Any]
    paths: tuple[Path, ...]
    prefixes: tuple[str, ...]
    start: int
    stop: int


def _contract_files(out: Path) -> Iterator[tuple[tuple[Path, ...], list[_Rows]]]:
    """All that is below `out`: files that belong together, cut into pieces of at most CHUNK records."""
    for path in sorted((out / "inputs").glob("*/*.arrow")):
        case = {"split": "test", "case": f"{path.parent.name}/{path.stem}", "test_set": path.parent.name,
                "degradation": path.stem}
        target = out / "targets" / path.parent.name / path.name
        files = (path, target) if target.exists() else (path,)  # none where nobody knows a truth
        yield files, _cut(case, files, ("inputs.", "target.")[:len(files)])
    train = out / "train"
    for path in sorted(train.glob("*.arrow")):
        yield (path,), _cut({"split": "train", "case": "train"}, (path,), ("record.",))
    for path in sorted((train / "roles").glob("*/*.arrow")):
        yield (path,), _cut({"split": "train", "case": path.parent.name}, (path,), ("record.",))
    for path in sorted((train / "pools").glob("*/*.arrow")):
        yield (path,), _cut({"split": "pool", "case": path.parent.name}, (path,), ("record.",))


def _cut(columns: dict[str, Any], paths: tuple[Path, ...], prefixes: tuple[str, ...]) -> list[_Rows]:
    lengths = {len(Shard(path)) for path in paths}
    if len(lengths) != 1:
        raise ValueError(f"{' and '.join(map(str, paths))} do not have the same number of records.")
    length = lengths.pop()
    return [_Rows(columns, paths, prefixes, start, min(start + CHUNK, length)) for start in range(0, length, CHUNK)]


def _entries(piece: _Rows) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """(columns of `BASE` that are known, arrays by prefixed name) of each record."""
    files = [Shard(path) for path in piece.paths]
    for number in range(piece.start, piece.stop):
        records = [file[number] for file in files]
        yield ({**piece.facts, **_own(records[0])},
               {f"{prefix}{name}": value for prefix, record in zip(piece.prefixes, records, strict=True)
                for name, value in record.arrays.items()})


def _contract_lines(piece: _Rows) -> str:
    return "".join(f"{json.dumps(_row(columns, arrays))}\n" for columns, arrays in _entries(piece))


def _own(record: Record) -> dict[str, Any]:
    own = {key: record.facts.get(key) for key in ("name", "group", "synthetic", "kind")}
    return {"id": record.id, **own}


def _row(columns: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    row = {**columns, "arrays": ",".join(sorted(arrays)), "finite": True}
    for name, value in arrays.items():
        row["finite"] = row["finite"] and bool(np.isfinite(value).all())
        shape = value.shape[-3:] if value.ndim > 2 else (*value.shape, 1, 1, 1)[:3]  # of a clip: one frame
        low, high = (float(value.min()), float(value.max())) if value.size else (None, None)
        mean = float(value.mean()) if high is not None and high <= 1 and value.dtype == np.uint8 else None
        row |= {f"{name}.{key}": figure for key, figure in
                zip(STATISTICS, (value.dtype.name, *shape, low, high, mean), strict=True)}
    return row
