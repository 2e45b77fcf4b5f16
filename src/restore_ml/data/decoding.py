"""Every record decoded once: its hash, how it looks, what it overlaps, and its values in files of raw pixels.

The pixels of a chunk of records go to one file of the folder `spill`, which the shards are cut from, since a record's
folder is known only when all have been looked at. A record that the ledger knows is not read at all: it is `Decoded`
without values there (`spilled` is False).
"""

from __future__ import annotations

import json
import shutil
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256
from restore_ml.data import domains, likeness
from restore_ml.data.chunks import CHUNK, Mapper, Progress, pieces
from restore_ml.data.collections import PICTURES
from restore_ml.data.domain import identity
from restore_ml.data.ledger import Ledger, Mark, mark
from restore_ml.data.pictures import Refused
from restore_ml.data.shards import Record
from restore_ml.data.splits import NOT_SPILLED, Array, Decoded, Entry, Quarantined

PRINTS = "prints.npz"


def decode(data: Path, entries: list[Entry], spill: Path, progress: Progress | None = None, mapper: Mapper = map,
           chunk: int = CHUNK, ledger: Ledger | None = None) -> tuple[list[Decoded], list[Quarantined]]:
    """Decode every record that `ledger` does not know, note what cannot be read.

    The values go to a file of the record's chunk in the folder `spill` (emptied first); offsets of the arrays count as
    if the chunks' files were one. The test records come first, wherever they stand in `entries`: the others are
    compared with them.
    """
    shutil.rmtree(spill, ignore_errors=True)
    spill.mkdir(parents=True)
    work = _Decoding(data, spill, mapper, chunk, ledger or Ledger(), progress, len(entries))
    work.decode([entry for entry in entries if entry.stated == "test"], keep_prints=True)
    work.tested = _save_prints(spill / PRINTS, work.prints, entries)
    work.decode([entry for entry in entries if entry.stated != "test"], keep_prints=False)
    work.ledger.prune(data, (_file(data, entry) for entry in entries))
    work.ledger.save()
    return work.pictures, work.refused


@dataclass
class _Decoding:
    """What stays the same while records are decoded, and what has come of them so far."""

    data: Path
    spill: Path
    mapper: Mapper
    chunk: int
    ledger: Ledger
    progress: Progress | None
    total: int
    pictures: list[Decoded] = field(default_factory=list)
    refused: list[Quarantined] = field(default_factory=list)
    prints: dict[Entry, np.ndarray] = field(default_factory=dict)
    """The fingerprints of the test records."""
    tested: str = ""
    """A hash of those, once they are all there."""
    chunks: int = 0
    size: int = 0
    """Bytes spilled."""
    done: int = 0

    def decode(self, entries: list[Entry], keep_prints: bool) -> None:
        """Take what the ledger knows, decode the rest chunk by chunk."""
        new = [entry for entry in entries if not self._take_known(entry, keep_prints)]
        chunks = list(enumerate(pieces(new, self.chunk), self.chunks))
        self.chunks += len(chunks)
        for decoded in self.mapper(partial(_decode_chunk, self.data, self.spill), chunks):
            self._take_decoded(decoded, keep_prints)

    def _take_known(self, entry: Entry, keep_prints: bool) -> bool:
        kept = _known(self.ledger, self.data, entry, self.spill, self.tested)
        if kept is None:
            return False
        self.pictures.append(kept)
        self.done += 1
        if keep_prints:
            self.prints[entry] = np.frombuffer(self.ledger.raw(_file(self.data, entry), _part(entry)), np.uint64)
        return True

    def _take_decoded(self, decoded: _Chunk, keep_prints: bool) -> None:
        for picture, prints, state in zip(decoded.pictures, decoded.prints, decoded.states, strict=True):
            _remember(self.ledger, self.data, picture, prints, state, self.tested)
            arrays = tuple(replace(array, offset=self.size + array.offset) for array in picture.arrays)
            self.pictures.append(replace(picture, arrays=arrays))
            if keep_prints:
                self.prints[picture.entry] = prints
        self.ledger.save()
        self.refused += decoded.refused
        self.size += decoded.size
        self.done += decoded.count
        if self.progress:
            self.progress("decoding pictures", self.done, self.total)


def _file(data: Path, entry: Entry) -> Path:
    """The file or folder that an entry's record is in: what changes when the record does."""
    return data / entry.collection / PICTURES / (entry.held_by or entry.file)


def _part(entry: Entry) -> str:
    """The record's name in that file or folder, or an empty text."""
    return entry.file.removeprefix(entry.held_by).lstrip("/") if entry.held_by else ""


def _remember(ledger: Ledger, data: Path, picture: Decoded, prints: np.ndarray, state: Mark | None,
              tested: str) -> None:
    """Put a picture into the ledger, with its fingerprints for the day when other pictures are tested on."""
    if state is None:
        return
    arrays = [[array.name, array.dtype, list(array.shape)] for array in picture.arrays]
    value = {"id": picture.id, "arrays": arrays, "look": picture.look.as_json(), "overlaps": picture.overlaps,
             "tested": tested}
    ledger.put(_file(data, picture.entry), json.dumps(value), picture.entry.domain, prints.tobytes(), state,
               _part(picture.entry))


def _known(ledger: Ledger, data: Path, entry: Entry, spill: Path, tested: str) -> Decoded | None:
    """A picture whose file has not changed; compared anew where other pictures are tested on than then."""
    file = _file(data, entry)
    text = ledger.get(file, entry.domain, _part(entry))
    if text is None:
        return None
    value = json.loads(text)
    arrays = tuple(Array(name, dtype, tuple(shape), NOT_SPILLED) for name, dtype, shape in value["arrays"])
    picture = Decoded(entry, value["id"], arrays, likeness.Look.from_json(value["look"]), value["overlaps"])
    if value["tested"] == tested:
        return picture
    prints = np.frombuffer(ledger.raw(file, _part(entry)), np.uint64)
    picture = replace(picture, overlaps=_overlap(spill, entry, prints) if tested else "")
    _remember(ledger, data, picture, prints, mark(file), tested)
    return picture


@dataclass(frozen=True)
class _Chunk:
    """A decoded chunk: its records (offsets within its own file), their fingerprints and the state of their files,
    what was refused, bytes written, records read."""

    pictures: list[Decoded]
    prints: list[np.ndarray]
    states: list[Mark | None]
    refused: list[Quarantined]
    size: int
    count: int


def _decode_chunk(data: Path, spill: Path, chunk: tuple[int, list[Entry]]) -> _Chunk:
    """Decode the numbered chunk of entries, all of them to be tested on or none."""
    number, entries = chunk
    out = _Chunk([], [], [], [], 0, len(entries))
    with open(spill / f"{number:08d}", "wb") as file:
        for entry in entries:
            state = mark(_file(data, entry))  # before it is read: a change meanwhile is then noticed the next time
            try:
                arrays = read(data, entry)
            except Refused as error:
                out.refused.append(Quarantined(entry.path, entry.collection, entry.stated, "", error.reason))
                continue
            look, prints = _likeness(arrays, entry)
            overlaps = "" if entry.stated == "test" else _overlap(spill, entry, prints)
            places = tuple(_append(file, name, value) for name, value in sorted(arrays.items()))
            out.pictures.append(Decoded(entry, identity(arrays), places, look, overlaps))
            out.prints.append(prints)
            out.states.append(state)
        return replace(out, size=file.tell())


def _likeness(arrays: dict[str, np.ndarray], entry: Entry) -> tuple[likeness.Look, np.ndarray]:
    """How a record looks and its fingerprints; none where its domain compares by equality alone."""
    domain = domains.get(entry.domain)
    grey = None if domain.likeness is None else domain.luma(arrays)
    if grey is None:
        return likeness.NOTHING, np.empty(0, np.uint64)
    return likeness.look(grey), likeness.fingerprints(grey)


def _overlap(spill: Path, entry: Entry, prints: np.ndarray) -> str:
    """The test record of the same domain that shares an area with these fingerprints, or an empty text."""
    path = spill / PRINTS
    crops = _load_crops(path, path.stat().st_mtime_ns).get(entry.domain) if len(prints) else None
    return (crops.overlap(prints) if crops is not None else None) or ""


def _save_prints(path: Path, prints: dict[Entry, np.ndarray], entries: list[Entry]) -> str:
    """The test records' fingerprints, for the processes that compare others with them; returns their hash."""
    ordered = [entry for entry in entries if entry in prints]
    names = "\n".join(f"{entry.domain}\t{entry.path}" for entry in ordered).encode()
    sizes = np.array([len(prints[entry]) for entry in ordered], np.int64)
    values = np.concatenate([np.empty(0, np.uint64), *(prints[entry] for entry in ordered)])
    np.savez(path, names=np.frombuffer(names, np.uint8), sizes=sizes, prints=values)
    return sha256(names + sizes.tobytes() + values.tobytes())


@lru_cache(maxsize=1)
def _load_crops(path: Path, changed: int) -> dict[str, likeness.Crops]:
    """By domain; read once a process. `changed` tells one preparation's file from the next one's."""
    with np.load(path, allow_pickle=False) as stored:
        names = stored["names"].tobytes().decode().split("\n")
        cuts = np.cumsum(stored["sizes"])[:-1]
        parts = np.split(stored["prints"], cuts) if len(stored["sizes"]) else []
    by_domain: dict[str, dict[str, np.ndarray]] = {}
    for name, part in zip(names, parts, strict=False):
        domain, _, record = name.partition("\t")
        by_domain.setdefault(domain, {})[record] = part
    return {domain: likeness.Crops(crops, domains.get(domain).likeness) for domain, crops in by_domain.items()}


def read(data: Path, entry: Entry) -> dict[str, np.ndarray]:
    """The arrays of an entry's record; `Refused` where it cannot be read."""
    folder = data / entry.collection / PICTURES
    return domains.get(entry.domain).read(folder / entry.file, folder)


def again(data: Path, picture: Decoded, old: Record | None, intact: bool) -> dict[str, np.ndarray]:
    """The arrays of a picture that was not decoded this time: from its `old` record, else from its file.

    Unless the old record's shard is `intact`, its values must have the picture's hash. A file that has changed since
    the ledger was asked is a `UserError`.
    """
    if old is not None and (intact or identity(old.arrays) == picture.id):
        return old.arrays
    try:
        arrays = read(data, picture.entry)
    except Refused as error:
        raise _changed(picture, error.reason) from None
    if identity(arrays) != picture.id:
        raise _changed(picture, "other pixels")
    return arrays


def _changed(picture: Decoded, what: str) -> UserError:
    return UserError(f"{picture.entry.path} was changed while it was prepared ({what}); run `dvc repro` again.")


def _append(file: BinaryIO, name: str, value: np.ndarray) -> Array:
    offset = file.tell()
    file.write(np.ascontiguousarray(value).data)
    return Array(name, value.dtype.name, value.shape, offset)


def values(array: Array, spill: Path, starts: list[int]) -> np.ndarray:
    """A picture's values, mapped from the spilled chunks; `starts` from `chunk_starts`."""
    number = bisect_right(starts, array.offset) - 1
    mapped: np.ndarray[Any, Any] = np.memmap(spill / f"{number:08d}", array.dtype, "r", array.offset - starts[number],
                                             array.shape)
    return mapped


def chunk_starts(spill: Path) -> list[int]:
    """Where each chunk's file begins, as if they were one."""
    starts = [0]
    for path in sorted(path for path in spill.iterdir() if path.name != PRINTS):
        starts.append(starts[-1] + path.stat().st_size)
    return starts
