"""Every picture decoded once: its hash, how it looks, what it overlaps, and its values in files of raw pixels.

The pixels of a chunk of pictures go to one file of the folder `spill`, which the shards are cut from, since a picture's
folder is known only when all have been looked at. A file that the ledger knows is not read at all: its picture is
`Decoded` without values there (`spilled` is False).
"""

from __future__ import annotations

import json
import shutil
from bisect import bisect_right
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from restore_ml.data import likeness
from restore_ml.data.chunks import CHUNK, Mapper, Progress, pieces
from restore_ml.data.collections import PICTURES
from restore_ml.data.ledger import Ledger, Mark, mark
from restore_ml.data.pictures import Refused, pixel_hash, read_picture
from restore_ml.data.scenes import read_scene
from restore_ml.data.shards import Record
from restore_ml.data.splits import NOT_SPILLED, Array, Decoded, Entry, Quarantined
from restore_ml.errors import UserError
from restore_ml.files import sha256

PRINTS = "prints.npz"


def decode(data: Path, entries: list[Entry], spill: Path, progress: Progress | None = None, mapper: Mapper = map,
           chunk: int = CHUNK, ledger: Ledger | None = None) -> tuple[list[Decoded], list[Quarantined]]:
    """Decode every file that `ledger` does not know, note what cannot be read.

    The values go to a file of the picture's chunk in the folder `spill` (emptied first); offsets of the arrays count as
    if the chunks' files were one. The test pictures come first, wherever they stand in `entries`: the others are
    compared with them.
    """
    shutil.rmtree(spill, ignore_errors=True)
    spill.mkdir(parents=True)
    ledger = ledger or Ledger()
    pictures: list[Decoded] = []
    refused: list[Quarantined] = []
    prints: list[tuple[str, np.ndarray]] = []
    tested = ""
    done = start = number = 0
    for stated in (True, False):
        chosen = [entry for entry in entries if (entry.stated == "test") == stated]
        if not stated:
            places = {entry.path: place for place, entry in enumerate(entries)}
            tested = _save_prints(spill / PRINTS, sorted(prints, key=lambda item: places[item[0]]))
        new = []
        for entry in chosen:
            known = _known(ledger, data, entry, spill, tested)
            if known is None:
                new.append(entry)
                continue
            pictures.append(known)
            done += 1
            if stated:
                prints.append((entry.path, np.frombuffer(ledger.raw(_file(data, entry)), np.uint64)))
        chunks = [(number + place, part) for place, part in enumerate(pieces(new, chunk))]
        number += len(chunks)
        for found in mapper(partial(_decode_chunk, data, spill), chunks):
            for picture, own, seen in zip(found.pictures, found.prints, found.seen, strict=True):
                _remember(ledger, data, picture, own, seen, tested)
                pictures.append(replace(picture, arrays=tuple(replace(array, offset=start + array.offset)
                                                              for array in picture.arrays)))
                if stated:
                    prints.append((picture.entry.path, own))
            ledger.save()
            refused += found.refused
            start += found.size
            done += found.count
            if progress:
                progress("decoding pictures", done, len(entries))
    ledger.prune(data, (_file(data, entry) for entry in entries))
    ledger.save()
    return pictures, refused


def _file(data: Path, entry: Entry) -> Path:
    return data / entry.collection / PICTURES / entry.file


def _remember(ledger: Ledger, data: Path, picture: Decoded, prints: np.ndarray, seen: Mark | None,
              tested: str) -> None:
    """Put a picture into the ledger, with its fingerprints for the day when other pictures are tested on."""
    if seen is None:
        return
    arrays = [[array.name, array.dtype, list(array.shape)] for array in picture.arrays]
    value = {"id": picture.id, "arrays": arrays, "look": picture.look.as_json(), "overlaps": picture.overlaps,
             "tested": tested}
    ledger.put(_file(data, picture.entry), json.dumps(value), picture.entry.domain, prints.tobytes(), seen)


def _known(ledger: Ledger, data: Path, entry: Entry, spill: Path, tested: str) -> Decoded | None:
    """A picture whose file has not changed; compared anew where other pictures are tested on than then."""
    file = _file(data, entry)
    text = ledger.get(file, entry.domain)
    if text is None:
        return None
    value = json.loads(text)
    arrays = tuple(Array(name, dtype, tuple(shape), NOT_SPILLED) for name, dtype, shape in value["arrays"])
    picture = Decoded(entry, value["id"], arrays, likeness.Look.from_json(value["look"]), value["overlaps"])
    if value["tested"] == tested:
        return picture
    prints = np.frombuffer(ledger.raw(file), np.uint64)
    picture = replace(picture, overlaps=_overlap(spill, prints) if tested else "")
    _remember(ledger, data, picture, prints, mark(file), tested)
    return picture


@dataclass(frozen=True)
class _Chunk:
    """A decoded chunk: its pictures (offsets within its own file), their fingerprints and the marks of their files,
    what was refused, bytes written, files read."""

    pictures: list[Decoded]
    prints: list[np.ndarray]
    seen: list[Mark | None]
    refused: list[Quarantined]
    size: int
    count: int


def _decode_chunk(data: Path, spill: Path, chunk: tuple[int, list[Entry]]) -> _Chunk:
    """Decode the numbered chunk of entries, all of them test pictures or none."""
    number, entries = chunk
    found = _Chunk([], [], [], [], 0, len(entries))
    with open(spill / f"{number:08d}", "wb") as file:
        for entry in entries:
            seen = mark(_file(data, entry))  # before it is read: a change meanwhile is then seen the next time
            try:
                arrays = read(data, entry)
            except Refused as error:
                found.refused.append(Quarantined(entry.path, entry.collection, entry.stated, "", error.reason))
                continue
            grey = _grey(arrays)
            prints = likeness.fingerprints(grey)
            overlaps = "" if entry.stated == "test" else _overlap(spill, prints)
            places = tuple(_append(file, name, value) for name, value in sorted(arrays.items()))
            found.pictures.append(Decoded(entry, _identity(arrays), places, likeness.look(grey), overlaps))
            found.prints.append(prints)
            found.seen.append(seen)
        return replace(found, size=file.tell())


def _overlap(spill: Path, prints: np.ndarray) -> str:
    """The test picture that shares an area with one of these fingerprints, or an empty text."""
    path = spill / PRINTS
    return _load_crops(path, path.stat().st_mtime_ns).overlap(prints) or ""


def _save_prints(path: Path, prints: list[tuple[str, np.ndarray]]) -> str:
    """The test pictures' fingerprints, for the processes that compare others with them; returns their hash."""
    names = "\n".join(name for name, _ in prints).encode()
    sizes = np.array([len(value) for _, value in prints], np.int64)
    values = np.concatenate([np.empty(0, np.uint64), *(value for _, value in prints)])
    np.savez(path, names=np.frombuffer(names, np.uint8), sizes=sizes, prints=values)
    return sha256(names + sizes.tobytes() + values.tobytes())


@lru_cache(maxsize=1)
def _load_crops(path: Path, changed: int) -> likeness.Crops:
    """Read once a process; `changed` tells one preparation's file from the next one's."""
    with np.load(path, allow_pickle=False) as stored:
        names = stored["names"].tobytes().decode().split("\n")
        cuts = np.cumsum(stored["sizes"])[:-1]
        parts = np.split(stored["prints"], cuts) if len(stored["sizes"]) else []
    return likeness.Crops(dict(zip(names, parts, strict=False)))


def read(data: Path, entry: Entry) -> dict[str, np.ndarray]:
    """The arrays of an entry's file; `Refused` where it cannot be read."""
    folder = data / entry.collection / PICTURES
    if entry.domain == "scenes":
        return read_scene(folder / entry.file, folder)
    return {"image": read_picture(folder / entry.file, folder)}


def again(data: Path, picture: Decoded, old: Record | None, intact: bool) -> dict[str, np.ndarray]:
    """The arrays of a picture that was not decoded this time: from its `old` record, else from its file.

    Unless the old record's shard is `intact`, its values must have the picture's hash. A file that has changed since
    the ledger was asked is a `UserError`.
    """
    if old is not None and (intact or _identity(old.arrays) == picture.id):
        return old.arrays
    try:
        arrays = read(data, picture.entry)
    except Refused as error:
        raise _changed(picture, error.reason) from None
    if _identity(arrays) != picture.id:
        raise _changed(picture, "other pixels")
    return arrays


def _changed(picture: Decoded, what: str) -> UserError:
    return UserError(f"{picture.entry.path} was changed while it was prepared ({what}); run `dvc repro` again.")


def _identity(arrays: dict[str, np.ndarray]) -> str:
    return pixel_hash(*(arrays[name] for name in sorted(arrays)))


def _grey(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The luma that likeness is judged by; of a scene, the mean band of the target date (reflectance 1 is white)."""
    if "image" in arrays:
        return likeness.luma(arrays["image"])
    return np.rint(np.clip(arrays["target"].mean(axis=2, dtype=np.float64), 0, 1) * 255).astype(np.uint8)


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
