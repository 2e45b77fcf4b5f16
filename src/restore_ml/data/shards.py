"""The one container for arrays on disk: Arrow IPC files of records, uncompressed and read by memory map.

A record is an id, a small dictionary of facts and some named arrays. Pictures, training material, test samples
and restored outputs are all kept so; reading one touches only its own pages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from restore_ml.errors import UserError
from restore_ml.files import write_whole

DTYPES = ("uint8", "uint16", "int32", "float32")


@dataclass(frozen=True)
class Record:
    """`id` (mostly a picture's pixel hash), `facts` (JSON values) and `arrays` (uint8, uint16, int32 or float32)."""

    id: str
    arrays: dict[str, np.ndarray]
    facts: dict[str, Any] = field(default_factory=dict)


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

    def open_next(writers: list[pa.ipc.RecordBatchFileWriter]) -> None:
        nonlocal count
        if len(writers) < len(paths):
            write_whole(paths[len(writers)], lambda temporary: fill(temporary, writers))
            return
        for row in rows:
            for writer, record in zip(writers, row, strict=True):
                writer.write_batch(pa.RecordBatch.from_pylist([_row(record)], schema=_SCHEMA))
            count += 1

    def fill(temporary: Path, writers: list[pa.ipc.RecordBatchFileWriter]) -> None:
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
            open_next([*writers, writer])

    open_next([])
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
            self._file = pa.memory_map(str(path)).read_buffer()
            self._reader = pa.ipc.open_file(self._file)
        except FileNotFoundError:
            raise UserError(f"The shard {path} does not exist; `dvc repro` makes it.") from None
        except pa.ArrowInvalid as error:
            raise UserError(f"The shard {path} is broken ({error}); delete it and run `dvc repro`.") from None
        self._layout = _Layout(len(self))

    def __reduce__(self) -> tuple[type[Shard], tuple[Path]]:
        """Worker processes map the file again."""
        return Shard, (self.path,)

    def __len__(self) -> int:
        """How many records there are."""
        return self._reader.num_record_batches

    def __getitem__(self, index: int) -> Record:  # type: ignore[override]
        """The record at `index`, without copying its arrays."""
        index = range(len(self))[index]
        batch = self._reader.get_batch(index)
        return Record(batch.column("id")[0].as_py(), self.arrays(index), json.loads(batch.column("facts")[0].as_py()))

    def __iter__(self) -> Iterator[Record]:
        """The records in order."""
        return (self[index] for index in range(len(self)))

    def id(self, index: int) -> str:
        """The id of the record at `index`."""
        return self._reader.get_batch(index).column("id")[0].as_py()

    def arrays(self, index: int) -> dict[str, np.ndarray]:
        """The arrays alone of the record at `index`: where they lie is looked up once, so training reads them so."""
        places = self._layout.get(index)
        if places is None:
            places = self._places(index)
            self._layout.put(index, places)
        return {name: _view(self._file, dtype, shape, start) for name, dtype, shape, start in places}

    def _places(self, index: int) -> list[Place]:
        values = self._reader.get_batch(index).column("arrays")[0].values
        data = values.field("data")
        # Values of the column itself would be copies; the buffers are the file's own memory.
        starts = np.frombuffer(data.buffers()[1], np.int64)[data.offset:data.offset + len(data)]
        first = data.buffers()[2].address - self._file.address if len(data) else 0
        return [(name, dtype, tuple(shape), first + int(start)) for name, dtype, shape, start in zip(
            values.field("name").to_pylist(), values.field("dtype").to_pylist(), values.field("shape").to_pylist(),
            starts, strict=True)]


Place = tuple[str, str, tuple[int, ...], int]
"""One array of a record: name, dtype, shape and the byte of the file at which it starts."""


def _view(file: pa.Buffer, dtype: str, shape: tuple[int, ...], start: int) -> np.ndarray:
    view: np.ndarray = np.ndarray(shape, dtype, file, start)
    if view.flags.aligned:
        return view
    copy = view.copy()  # behind an array with an odd number of bytes
    copy.flags.writeable = False
    return copy


class _Layout:
    """Where the arrays of a shard's records lie, once seen; some ten bytes an array, for records of one kind."""

    def __init__(self, records: int) -> None:
        self._records = records
        self._kind: list[tuple[str, str, int]] | None = None

    def get(self, index: int) -> list[Place] | None:
        """The places of a record that was put here."""
        if self._kind is None or self._starts[index, 0] < 0:
            return None
        return [(name, dtype, tuple(shape[:sides]), start) for (name, dtype, sides), shape, start in zip(
            self._kind, self._shapes[index].tolist(), self._starts[index].tolist(), strict=True)]

    def put(self, index: int, places: list[Place]) -> None:
        """Remember a record, when it has the names, dtypes and dimensions of the first one that was put here."""
        kind = [(name, dtype, len(shape)) for name, dtype, shape, _ in places]
        if self._kind is None and kind:
            self._kind = kind
            self._starts = np.full((self._records, len(kind)), -1, np.int64)
            self._shapes = np.zeros((self._records, len(kind), max(sides for _, _, sides in kind)), np.int32)
        if kind and kind == self._kind:
            self._starts[index] = [start for *_, start in places]
            for row, (_, _, shape, _) in zip(self._shapes[index], places, strict=True):
                row[:len(shape)] = shape


class Shards(Sequence[Record]):
    """All `*.arrow` files of a folder as one sequence in the order of their ids; `shards.find(id)` looks one up."""

    def __init__(self, folder: Path) -> None:
        """Map every shard of `folder` (not of its subfolders)."""
        self.folder = folder
        self._shards = [Shard(path) for path in sorted(folder.glob("*.arrow"))]
        places = []
        for number, shard in enumerate(self._shards):
            for index in range(len(shard)):
                places.append((shard.id(index), number, index))
        self._places = sorted(places)
        self._by_id = {place[0]: position for position, place in enumerate(self._places)}

    def __reduce__(self) -> tuple[type[Shards], tuple[Path]]:
        """Worker processes map the files again."""
        return Shards, (self.folder,)

    @property
    def ids(self) -> list[str]:
        """The ids in order."""
        return [place[0] for place in self._places]

    def __len__(self) -> int:
        """How many records there are."""
        return len(self._places)

    def __getitem__(self, index: int) -> Record:  # type: ignore[override]
        """The record at `index` in the order of ids."""
        _, number, place = self._places[index]
        return self._shards[number][place]

    def find(self, identity: str) -> Record:
        """The record of that id; `KeyError` when there is none."""
        return self[self._by_id[identity]]

    def arrays(self, identity: str) -> dict[str, np.ndarray]:
        """The arrays alone of the record of that id, the quick way; `KeyError` when there is none."""
        _, number, place = self._places[self._by_id[identity]]
        return self._shards[number].arrays(place)
