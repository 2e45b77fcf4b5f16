"""The one container for arrays on disk: Arrow IPC files of records, uncompressed and read by memory map.

A record is an id, a small dictionary of facts and some named arrays. Pictures, training material, test samples
and restored outputs are all kept so; reading one touches only its own pages.
"""

from __future__ import annotations

import json
import math
import mmap
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256, whole
from restore_ml.data.shard_layout import Layout, Place, view

DTYPES = ("uint8", "uint16", "int16", "int32", "float32")
HELD = 2**27
"""Bytes of a folder's shards that reading keeps in memory; where they are larger, pages are given back in between."""
AROUND = 2**17
"""Bytes that the system brings along with the first one that is read of a small record."""


@dataclass(frozen=True)
class Record:
    """`id` (mostly a picture's pixel hash), `facts` (JSON values) and `arrays` (of the types of `DTYPES`)."""

    id: str
    arrays: dict[str, np.ndarray]
    facts: dict[str, Any] = field(default_factory=dict)


def hash_of(record: Record) -> str:
    """The hash of all that a record holds."""
    parts = [record.id, json.dumps(record.facts, sort_keys=True)]
    parts += [f"{name} {value.dtype} {value.shape} {sha256(np.ascontiguousarray(value).tobytes())}"
              for name, value in sorted(record.arrays.items())]
    return sha256("\n".join(parts).encode())[:32]


_ARRAY = pa.struct([("name", pa.string()), ("dtype", pa.string()), ("shape", pa.list_(pa.int32())),
                    ("data", pa.large_binary())])
_SCHEMA = pa.schema([("id", pa.string()), ("facts", pa.string()), ("arrays", pa.list_(_ARRAY))])


def write(path: Path, records: Iterable[Record]) -> int:
    """Write records whole or not at all, one at a time (memory stays flat); returns how many there were."""
    return write_together([path], ((record,) for record in records))


def write_together(paths: Sequence[Path], rows: Iterable[Sequence[Record]]) -> int:
    """Write several files side by side, each row giving each file its next record; returns the number of rows.

    Every file is written whole or not at all, and none before the last row has come.
    """
    count = 0
    with ExitStack() as stack:  # leaves in the opposite order: each file is closed, then renamed
        writers = []
        for path in paths:
            sink = stack.enter_context(pa.OSFile(str(stack.enter_context(whole(path))), "wb"))
            writers.append(stack.enter_context(pa.ipc.new_file(sink, _SCHEMA)))
        for row in rows:
            for writer, record in zip(writers, row, strict=True):
                writer.write_batch(pa.RecordBatch.from_pylist([_row(record)], schema=_SCHEMA))
            count += 1
    return count


def _row(record: Record) -> dict[str, Any]:
    arrays = []
    for name, value in sorted(record.arrays.items()):
        if value.dtype.name not in DTYPES:
            raise ValueError(f"Array {name!r} of {record.id} is {value.dtype}; shards hold {', '.join(DTYPES)}.")
        data = np.ascontiguousarray(value).tobytes()
        arrays.append({"name": name, "dtype": value.dtype.name, "shape": list(value.shape), "data": data})
    return {"id": record.id, "facts": json.dumps(record.facts, sort_keys=True), "arrays": arrays}


class Shard(Sequence[Record]):
    """A shard file, memory-mapped: `shard[i]` is a Record whose arrays are read-only views of the file."""

    def __init__(self, path: Path) -> None:
        """Map `path`; a missing or broken file is a `UserError`."""
        self.path = path
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._file = pa.py_buffer(self._map)
            self._reader = pa.ipc.open_file(self._file)
        except FileNotFoundError:
            raise UserError(f"The shard {path} does not exist; `dvc repro` makes it.") from None
        except (pa.ArrowException, OSError, ValueError) as error:  # an empty file is no map: a ValueError
            raise self._broken(error) from None
        if not self._reader.schema.equals(_SCHEMA):
            raise self._broken("it holds other columns than records have")
        self._layout = Layout(len(self))

    def _broken(self, reason: object) -> UserError:
        return UserError(f"The shard {self.path} is broken ({' '.join(str(reason).split())}); delete it and run `dvc "
                         "repro`.")

    def _batch(self, index: int) -> pa.RecordBatch:
        """The batch of a record, checked: to follow offsets that lead out of the file would end the process."""
        try:
            batch = self._reader.get_batch(index)
            batch.validate(full=True)
        except (pa.ArrowException, OSError) as error:
            raise self._broken(error) from None
        if batch.num_rows != 1:
            raise self._broken("a batch is not one record")
        return batch

    def __reduce__(self) -> tuple[type[Shard], tuple[Path]]:
        """Worker processes map the file again."""
        return Shard, (self.path,)

    def __len__(self) -> int:
        """How many records there are."""
        return self._reader.num_record_batches

    def __getitem__(self, index: int) -> Record:  # type: ignore[override]
        """The record at `index`, without copying its arrays."""
        index = range(len(self))[index]
        batch = self._batch(index)
        try:
            facts = json.loads(batch.column("facts")[0].as_py())
        except (ValueError, TypeError, RecursionError) as error:
            raise self._broken(error) from None
        return Record(self.id(index), self.arrays(index), facts)

    def __iter__(self) -> Iterator[Record]:
        """The records in order."""
        return (self[index] for index in range(len(self)))

    def id(self, index: int) -> str:
        """The id of the record at `index`."""
        identity = self._batch(index).column("id")[0].as_py()
        if identity is None:
            raise self._broken("a record has no id")
        return identity

    def ids(self) -> np.ndarray:
        """The ids in order, as bytes: an array of numpy's fixed-width strings."""
        return np.array([self.id(index).encode() for index in range(len(self))], np.bytes_)

    def release(self) -> None:
        """Give back the memory of all pages that were read; what is read again comes from the system's cache."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def arrays(self, index: int) -> dict[str, np.ndarray]:
        """The arrays alone of the record at `index`: where they lie is looked up once, so training reads them so."""
        places = self._layout.get(index)
        if places is None:
            places = self._places(index)
            self._layout.put(index, places)
        return {name: view(self._map, dtype, shape, start) for name, dtype, shape, start in places}

    def _places(self, index: int) -> list[Place]:
        values = self._batch(index).column("arrays")[0].values
        if values is None or values.null_count or values.field("data").null_count:
            raise self._broken("a record has no arrays")
        data = values.field("data")
        # Values of the column itself would be copies; the buffers are the file's own memory.
        starts = np.frombuffer(data.buffers()[1], np.int64)[data.offset:data.offset + len(data)]
        first = data.buffers()[2].address - self._file.address if len(data) else 0
        places = [(name, dtype, tuple(shape or ()), first + int(start)) for name, dtype, shape, start in zip(
            values.field("name").to_pylist(), values.field("dtype").to_pylist(), values.field("shape").to_pylist(),
            starts, strict=True)]
        lengths = np.diff(np.frombuffer(data.buffers()[1], np.int64)[data.offset:data.offset + len(data) + 1])
        for (name, dtype, shape, _), length in zip(places, lengths.tolist(), strict=True):
            if name is None or dtype not in DTYPES or min(shape, default=0) < 0 \
                    or math.prod(shape) * np.dtype(dtype).itemsize != length:
                raise self._broken(f"the array {name} does not have the bytes of its shape")
        return places


class Shards(Sequence[Record]):
    """All `*.arrow` files of a folder as one sequence in the order of their ids; `shards.find(id)` looks one up.

    Memory does not grow with what is read: an id and two or three numbers a record are held, and pages of the files
    only as far as `HELD`.
    """

    def __init__(self, folder: Path) -> None:
        """Map every shard of `folder` (not of its subfolders)."""
        self.folder = folder
        self._shards = [Shard(path) for path in sorted(folder.glob("*.arrow"))]
        ids = np.concatenate([np.array([], np.bytes_), *map(self._read_ids, self._shards)])
        self._rows = np.argsort(ids, kind="stable")  # rows count through the shards
        self._ids = ids[self._rows]
        self._ends = list(accumulate(len(shard) for shard in self._shards))
        size = sum(shard.path.stat().st_size for shard in self._shards)
        self._reads = 0
        self._most = HELD // max(AROUND, size // max(1, len(ids))) if size > HELD else sys.maxsize

    @staticmethod
    def _read_ids(shard: Shard) -> np.ndarray:
        ids = shard.ids()
        shard.release()
        return ids

    @property
    def ids(self) -> list[str]:
        """The ids in order."""
        return [identity.decode() for identity in self._ids.tolist()]

    def __len__(self) -> int:
        """How many records there are."""
        return len(self._ids)

    def __getitem__(self, index: int) -> Record:  # type: ignore[override]
        """The record at `index` in the order of ids."""
        shard, row = self._shard_of(range(len(self))[index])
        return shard[row]

    def id(self, index: int) -> str:
        """The id at `index`."""
        return self._ids[index].decode()

    def position(self, identity: str) -> int:
        """Where that id stands in the order; `KeyError` when it is not there."""
        key = identity.encode()
        index = bisect_left(self._ids, key)
        if index == len(self) or self._ids[index] != key:
            raise KeyError(identity)
        return index

    def find(self, identity: str) -> Record:
        """The record of that id; `KeyError` when there is none."""
        return self[self.position(identity)]

    def arrays(self, index: int) -> dict[str, np.ndarray]:
        """The arrays alone of the record at `index`, the quick way."""
        shard, row = self._shard_of(index)
        return shard.arrays(row)

    def release(self) -> None:
        """Give back the memory of all pages that were read."""
        self._reads = 0
        for shard in self._shards:
            shard.release()

    def _shard_of(self, index: int) -> tuple[Shard, int]:
        """The shard that holds the record, and where."""
        self._reads += 1
        if self._reads > self._most:
            self.release()
        row = int(self._rows[index])
        number = bisect_right(self._ends, row)
        return self._shards[number], row - self._ends[number - 1] if number else row
