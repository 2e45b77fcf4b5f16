"""The prepare stage: collections become manifests, shards of decoded pixels and the quarantine.

`prepare` is scan -> decode -> assign -> write_shards -> write_manifests; a flow may call the five as named tasks. Every
picture is decoded once, to files of raw values that the shards are then cut from, so memory stays flat and the cost
is linear in the pixels.

Decoding and writing shards go over chunks of pictures through a `Mapper`: the builtin `map` here, a pool or a cluster
where the caller has one (the folders must be shared then). No result depends on how the pictures were cut.
"""

from __future__ import annotations

import re
import shutil
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import numpy as np

from restore_ml.data import likeness, shards
from restore_ml.data.chunks import CHUNK, Mapper, pieces
from restore_ml.data.collections import PICTURES, describe, printable
from restore_ml.data.manifest import write_manifest, write_quarantine
from restore_ml.data.pictures import Refused, pixel_hash, read_picture
from restore_ml.data.scenes import read_scene
from restore_ml.data.shards import Record
from restore_ml.data.splits import Array, Decoded, Entry, Placed, Quarantined, assign
from restore_ml.errors import UserError

Progress = Callable[[str, int, int], None]
"""`progress(what, done, total)`."""

PREFIX = 2
"""Shards are cut by the first hexadecimal digits of the picture's hash: at most 16 ** PREFIX files a folder."""
SPILL = ".pixels"
PRINTS = "prints.npz"


@dataclass(frozen=True)
class Scan:
    """What the collections hold: files in a fixed order, files refused when they were added, reserved looks."""

    entries: list[Entry]
    refused: list[Quarantined]
    reserved: dict[str, likeness.Look]


@dataclass(frozen=True)
class Summary:
    """How many pictures each folder below prepared/ holds, and how many are quarantined by kind of reason."""

    counts: dict[str, int]
    quarantined: int
    reasons: dict[str, int]

    def __str__(self) -> str:
        """One sentence a line."""
        lines = [f"{folder}: {count} pictures" for folder, count in sorted(self.counts.items())]
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.reasons.items()))
        return "\n".join([*lines, f"quarantined: {self.quarantined}" + (f" ({kinds})" if kinds else "")])


def prepare(data: Path, out: Path, seed: int, progress: Progress | None = None, mapper: Mapper = map,
            chunk: int = CHUNK) -> Summary:
    """Prepare all collections below `data` into `out` (removed first), as the layout of prepared/ says.

    Deterministic: the same files and seed give the same bytes, whatever `mapper` runs the chunks and however many
    pictures a `chunk` has; adding a picture changes the shard of its prefix, its folder's manifest and nothing else.
    """
    found = scan(data)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    spill = out / SPILL
    try:
        pictures, refused = decode(data, found.entries, spill, progress, mapper, chunk)
        placed, quarantined = assign(pictures, seed, found.reserved)
        write_shards(out, placed, spill, progress, mapper)
    finally:
        shutil.rmtree(spill, ignore_errors=True)
    return write_manifests(out, placed, found.refused + refused + quarantined)


def scan(data: Path) -> Scan:
    """List the files of all collections, test pictures first, then by collection and name."""
    entries: list[Entry] = []
    refused: list[Quarantined] = []
    reserved: dict[str, likeness.Look] = {}
    if not data.is_dir():
        raise UserError(f"There is no folder {data}; run `restore-ml data init` or `dvc pull`.")
    for folder in sorted(place for place in data.iterdir() if place.is_dir() and not place.name.startswith(".")):
        about = describe(folder)
        name, pictures = about["name"], about["pictures"]
        files = sorted(path.relative_to(folder / PICTURES).as_posix() for path in (folder / PICTURES).rglob("*")
                       if path.is_symlink() or not path.is_dir())
        for file in sorted({*files, *pictures}):
            if file != printable(file):
                refused.append(Quarantined(f"{name}/{PICTURES}/{printable(file)}", name, "", "",
                                           "its name holds control characters or is not UTF-8"))
                continue
            facts = pictures.get(file, {})
            stated = "test" if about["role"] == "test" else facts.get("split", "")
            stem, _, _ = file.rpartition(".")
            entries.append(Entry(name, file, about["domain"], stated, facts.get("group", stem or file),
                                 about["synthetic"], facts.get("licence", about["licence"])))
        refused += [Quarantined(f"{name}/{PICTURES}/{file}", name, "", "", f"left out when it was added: {reason}")
                    for file, reason in sorted(about["refused"].items())]
        reserved |= {f"{name} ({photo})": likeness.Look.from_json(value)
                     for photo, value in about["reserved"].items()}
    if not entries:
        raise UserError(f"{data} holds no pictures; run `restore-ml data init` or `restore-ml data add NAME PATH`.")
    return Scan(sorted(entries, key=lambda entry: (entry.stated != "test", entry.collection, entry.file)), refused,
                reserved)


def decode(data: Path, entries: list[Entry], spill: Path, progress: Progress | None = None, mapper: Mapper = map,
           chunk: int = CHUNK) -> tuple[list[Decoded], list[Quarantined]]:
    """Decode every file once, write its values to a file of its chunk in the folder `spill`, note what cannot be read.

    The test pictures come first, wherever they stand in `entries`: the others are compared with them. Offsets of the
    arrays count as if the chunks' files were one.
    """
    shutil.rmtree(spill, ignore_errors=True)
    spill.mkdir(parents=True)
    pictures: list[Decoded] = []
    refused: list[Quarantined] = []
    prints: list[tuple[str, np.ndarray]] = []
    done = start = number = 0
    for stated in (True, False):
        chosen = [entry for entry in entries if (entry.stated == "test") == stated]
        if not stated:
            _save_prints(spill / PRINTS, prints)
        chunks = [(number + place, part) for place, part in enumerate(pieces(chosen, chunk))]
        number += len(chunks)
        for found in mapper(partial(_decode_chunk, data, spill), chunks):
            pictures += [replace(picture, arrays=tuple(replace(array, offset=start + array.offset)
                                                       for array in picture.arrays)) for picture in found.pictures]
            refused += found.refused
            prints += found.prints
            start += found.size
            done += found.count
            if progress:
                progress("decoding pictures", done, len(entries))
    return pictures, refused


@dataclass(frozen=True)
class _Chunk:
    """A decoded chunk: its pictures (offsets within its own file), test pictures' fingerprints, bytes, files read."""

    pictures: list[Decoded]
    refused: list[Quarantined]
    prints: list[tuple[str, np.ndarray]]
    size: int
    count: int


def _decode_chunk(data: Path, spill: Path, chunk: tuple[int, list[Entry]]) -> _Chunk:
    """Decode the numbered chunk of entries, all of them test pictures or none."""
    number, entries = chunk
    pictures: list[Decoded] = []
    refused: list[Quarantined] = []
    prints: list[tuple[str, np.ndarray]] = []
    with open(spill / f"{number:08d}", "wb") as file:
        for entry in entries:
            try:
                arrays = _read(data, entry)
            except Refused as error:
                refused.append(Quarantined(entry.path, entry.collection, entry.stated, "", error.reason))
                continue
            grey = _grey(arrays)
            found = likeness.fingerprints(grey)
            overlap = None
            if entry.stated == "test":
                prints.append((entry.path, found))
            else:
                overlap = _crops(spill / PRINTS).overlap(found)
            places = tuple(_append(file, name, value) for name, value in sorted(arrays.items()))
            pictures.append(Decoded(entry, pixel_hash(*(arrays[place.name] for place in places)), places,
                                    likeness.look(grey), overlap or ""))
        size = file.tell()
    return _Chunk(pictures, refused, prints, size, len(entries))


def _save_prints(path: Path, prints: list[tuple[str, np.ndarray]]) -> None:
    """The test pictures' fingerprints, for the processes that compare others with them."""
    names = "\n".join(name for name, _ in prints).encode()
    np.savez(path, names=np.frombuffer(names, np.uint8), sizes=np.array([len(value) for _, value in prints], np.int64),
             prints=np.concatenate([np.empty(0, np.uint64), *(value for _, value in prints)]))


def _crops(path: Path) -> likeness.Crops:
    return _load_crops(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _load_crops(path: Path, changed: int) -> likeness.Crops:
    """Read once a process; `changed` tells one preparation's file from the next one's."""
    with np.load(path, allow_pickle=False) as stored:
        names = stored["names"].tobytes().decode().split("\n")
        cuts = np.cumsum(stored["sizes"])[:-1]
        parts = np.split(stored["prints"], cuts) if len(stored["sizes"]) else []
    return likeness.Crops(dict(zip(names, parts, strict=False)))


def _read(data: Path, entry: Entry) -> dict[str, np.ndarray]:
    folder = data / entry.collection / PICTURES
    if entry.domain == "scenes":
        return read_scene(folder / entry.file, folder)
    return {"image": read_picture(folder / entry.file, folder)}


def _grey(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The luma that likeness is judged by; of a scene, the mean band of the target date (reflectance 1 is white)."""
    if "image" in arrays:
        return likeness.luma(arrays["image"])
    return np.rint(np.clip(arrays["target"].mean(axis=2, dtype=np.float64), 0, 1) * 255).astype(np.uint8)


def _append(file: BinaryIO, name: str, value: np.ndarray) -> Array:
    offset = file.tell()
    file.write(np.ascontiguousarray(value).data)
    return Array(name, value.dtype.name, value.shape, offset)


def home(placed: Placed) -> str:
    """The folder of a picture below prepared/: `photos/train`, `photos/validation`, `photos/test/<collection>`."""
    entry = placed.picture.entry
    return f"{entry.domain}/{placed.split}" + (f"/{entry.collection}" if placed.split == "test" else "")


def write_shards(out: Path, placed: list[Placed], spill: Path, progress: Progress | None = None,
                 mapper: Mapper = map) -> int:
    """Write `<folder>/<prefix>.arrow` for every folder and hash prefix, records in the order of their ids."""
    ordered = sorted(placed, key=lambda item: (home(item), item.picture.id))
    groups = groupby(ordered, key=lambda item: (home(item), item.picture.id[:PREFIX]))
    items = ((out / folder / f"{prefix}.arrow", list(members)) for (folder, prefix), members in groups)
    done = 0
    for count in mapper(partial(_write_shard, spill, chunk_starts(spill)), items):
        done += count
        if progress:
            progress("writing shards", done, len(ordered))
    return done


def chunk_starts(spill: Path) -> list[int]:
    """Where each chunk's file begins, as if they were one."""
    starts = [0]
    for path in _chunk_files(spill):
        starts.append(starts[-1] + path.stat().st_size)
    return starts


def _chunk_files(spill: Path) -> list[Path]:
    return sorted(path for path in spill.iterdir() if path.name != PRINTS)


def _write_shard(spill: Path, starts: list[int], shard: tuple[Path, list[Placed]]) -> int:
    path, members = shard
    return shards.write(path, _records(members, spill, starts))


def _records(members: list[Placed], spill: Path, starts: list[int]) -> Iterator[Record]:
    for item in members:
        picture, entry = item.picture, item.picture.entry
        arrays: dict[str, np.ndarray] = {array.name: _values(array, spill, starts) for array in picture.arrays}
        yield Record(picture.id, arrays, {"name": entry.name, "collection": entry.collection, "group": entry.group,
                                          "synthetic": entry.synthetic})


def _values(array: Array, spill: Path, starts: list[int]) -> np.ndarray:
    number = bisect_right(starts, array.offset) - 1
    return np.memmap(spill / f"{number:08d}", array.dtype, "r", array.offset - starts[number], array.shape)


def write_manifests(out: Path, placed: list[Placed], refused: list[Quarantined]) -> Summary:
    """Write every folder's manifest (train and validation of each domain even when empty) and the quarantine."""
    folders: dict[str, list[Placed]] = {}
    for domain in {"photos"} | {item.picture.entry.domain for item in placed}:
        folders |= {f"{domain}/train": [], f"{domain}/validation": []}
    for item in placed:
        folders.setdefault(home(item), []).append(item)
    for folder, members in folders.items():
        write_manifest(out / folder, members)
    write_quarantine(out, refused)
    reasons = Counter(re.split(" of | with |:", item.reason)[0] for item in refused)
    return Summary({folder: len(members) for folder, members in folders.items()}, len(refused), dict(reasons))
