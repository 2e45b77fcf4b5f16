"""The prepare stage: collections become manifests, shards of decoded pixels and the quarantine.

`prepare` is scan -> decode -> assign -> write_shards -> write_manifests; a flow may call the five as named tasks. Every
picture is decoded once, to one file of raw values that the shards are then cut from, so memory stays flat and the cost
is linear in the pixels.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import numpy as np

from restore_ml.data import likeness, shards
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


def prepare(data: Path, out: Path, seed: int, progress: Progress | None = None) -> Summary:
    """Prepare all collections below `data` into `out` (removed first), as the layout of prepared/ says.

    Deterministic: the same files and seed give the same bytes; adding a picture changes the shard of its prefix, its
    folder's manifest and nothing else.
    """
    found = scan(data)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    spill = out / SPILL
    try:
        pictures, refused = decode(data, found.entries, spill, progress)
        placed, quarantined = assign(pictures, seed, found.reserved)
        write_shards(out, placed, spill, progress)
    finally:
        spill.unlink(missing_ok=True)
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


def decode(data: Path, entries: list[Entry], spill: Path,
           progress: Progress | None = None) -> tuple[list[Decoded], list[Quarantined]]:
    """Decode every file once, append its values to the file `spill`, and note what cannot be read.

    `entries` must have the test pictures first (as `scan` gives them): the others are compared with them.
    """
    pictures: list[Decoded] = []
    refused: list[Quarantined] = []
    prints: dict[str, np.ndarray] = {}
    crops: likeness.Crops | None = None
    with open(spill, "wb") as file:
        for number, entry in enumerate(entries, 1):
            try:
                arrays = _read(data, entry)
            except Refused as error:
                refused.append(Quarantined(entry.path, entry.collection, entry.stated, "", error.reason))
            else:
                grey = _grey(arrays)
                found = likeness.fingerprints(grey)
                overlap = None
                if entry.stated == "test":
                    prints[entry.path] = found
                else:
                    crops = crops or likeness.Crops(prints)
                    overlap = crops.overlap(found)
                places = tuple(_append(file, name, value) for name, value in sorted(arrays.items()))
                pictures.append(Decoded(entry, pixel_hash(*(arrays[place.name] for place in places)), places,
                                        likeness.look(grey), overlap or ""))
            if progress:
                progress("decoding pictures", number, len(entries))
    return pictures, refused


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


def write_shards(out: Path, placed: list[Placed], spill: Path, progress: Progress | None = None) -> int:
    """Write `<folder>/<prefix>.arrow` for every folder and hash prefix, records in the order of their ids."""
    ordered = sorted(placed, key=lambda item: (home(item), item.picture.id))
    done = 0
    for (folder, prefix), members in groupby(ordered, key=lambda item: (home(item), item.picture.id[:PREFIX])):
        done += shards.write(out / folder / f"{prefix}.arrow", _records(list(members), spill))
        if progress:
            progress("writing shards", done, len(ordered))
    return done


def _records(members: list[Placed], spill: Path) -> Iterator[Record]:
    for item in members:
        picture, entry = item.picture, item.picture.entry
        arrays: dict[str, np.ndarray] = {array.name: np.memmap(spill, array.dtype, "r", array.offset, array.shape)
                                         for array in picture.arrays}
        yield Record(picture.id, arrays, {"name": entry.name, "collection": entry.collection, "group": entry.group,
                                          "synthetic": entry.synthetic})


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
