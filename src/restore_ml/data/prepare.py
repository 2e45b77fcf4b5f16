"""The prepare stage: collections become manifests, shards of decoded pixels and the quarantine.

`prepare` is scan -> decode -> assign -> write_shards -> write_manifests; a flow may call the five as named tasks. Every
picture is decoded once (restore_ml.data.decoding), so memory stays flat and the cost is linear in the pixels.

With a `Ledger` only files that are new or have changed are decoded, and only shards whose members have changed are
written: an old member's pixels come from the shard that is replaced (or, where somebody has touched that shard, only if
they still give the picture's hash), else its file is decoded again. So ten pictures more cost their own decoding and
the ten shards they fall in; what still follows the number of all pictures is listing them, one look-up in the ledger
each, the splits and the manifest's rows. The bytes are the same with and without a ledger.

Decoding and writing shards go over chunks of pictures through a `Mapper`: the builtin `map` here, a pool or a cluster
where the caller has one (the folders must be shared then). No result depends on how the pictures were cut.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from restore_ml.base.errors import UserError
from restore_ml.base.files import canonical_json, sha256
from restore_ml.data import domains, folders, likeness, shards
from restore_ml.data.chunks import CHUNK, Mapper, Progress
from restore_ml.data.collections import PICTURES, describe
from restore_ml.data.copying import printable
from restore_ml.data.decoding import again, chunk_starts, decode, values
from restore_ml.data.ledger import Ledger, keep_only
from restore_ml.data.left_out import kind_of
from restore_ml.data.manifest import MANIFEST, QUARANTINE, write_manifest, write_quarantine
from restore_ml.data.parts import expand
from restore_ml.data.shards import Record, Shard
from restore_ml.data.splits import Entry, Placed, Quarantined, assign

PREFIX = 2
"""Shards are cut by the first hexadecimal digits of the picture's hash: at most 16 ** PREFIX files a folder."""
SPILL = ".pixels"


@dataclass(frozen=True)
class Scan:
    """What the collections hold: records in a fixed order, what was refused when it was added, and, by domain, the
    reserved looks."""

    entries: list[Entry]
    refused: list[Quarantined]
    reserved: dict[str, dict[str, likeness.Look]]


@dataclass(frozen=True)
class Summary:
    """How many pictures each folder below prepared/ holds, and how many are quarantined by kind of reason."""

    counts: dict[str, int]
    quarantined: int
    reasons: dict[str, int]

    def __str__(self) -> str:
        """One sentence a line; domains that hold nothing are left out."""
        filled = {folder.split("/")[0] for folder, count in self.counts.items() if count}
        lines = [f"{folder}: {count} {domains.get(folder.split('/')[0]).what}"
                 for folder, count in sorted(self.counts.items()) if folder.split("/")[0] in filled]
        lines += [f"{domain}: nothing to validate on, since its training {domains.get(domain).what} are of one group "
                  "or their split is stated" for domain in sorted(filled)
                  if self.counts.get(f"{domain}/train") and not self.counts.get(f"{domain}/validation")]
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.reasons.items()))
        return "\n".join([*lines, f"quarantined: {self.quarantined}" + (f" ({kinds})" if kinds else "")])


def prepare(data: Path, out: Path, seed: int, progress: Progress | None = None, mapper: Mapper = map,
            chunk: int = CHUNK, ledger: Ledger | None = None) -> Summary:
    """Prepare all collections below `data` into `out`, as the layout of prepared/ says; whatever else is there goes.

    Deterministic: the same files and seed give the same bytes, whatever `mapper` runs the chunks, however many
    pictures a `chunk` has and whatever the `ledger` knows; adding a picture changes the shard of its prefix, its
    folder's manifest and nothing else.
    """
    ledger = ledger or Ledger()
    entries = scan(data)
    spill = out / SPILL
    try:
        pictures, refused = decode(data, entries.entries, spill, progress, mapper, chunk, ledger)
        placed, quarantined = assign(pictures, seed, entries.reserved)
        write_shards(out, placed, spill, data, progress, mapper, ledger)
    finally:
        shutil.rmtree(spill, ignore_errors=True)
    return write_manifests(out, placed, entries.refused + refused + quarantined)


def scan(data: Path) -> Scan:
    """List the files of all collections, test pictures first, then by collection and name."""
    entries: list[Entry] = []
    refused: list[Quarantined] = []
    reserved: dict[str, dict[str, likeness.Look]] = {}
    if not data.is_dir():
        raise UserError(f"There is no folder {data}; run `restore-ml data init` or `dvc pull`.")
    for folder in sorted(path for path in data.iterdir() if path.is_dir() and not path.name.startswith(".")):
        about = describe(folder)
        name, home = about["name"], folder / PICTURES
        files = (path.relative_to(home).as_posix() for path in home.rglob("*")
                 if path.is_symlink() or not path.is_dir())
        kept = []
        for file in sorted(files):
            reason = _not_taken(file)
            if reason:
                refused.append(Quarantined(f"{name}/{PICTURES}/{printable(file)}", name, "", "", reason))
            else:
                kept.append(file)
        stated = {file for file in about["pictures"] if not _not_taken(file)}
        there = expand(domains.get(about["domain"]).records(kept), stated)
        entries += [_entry(about, record, there.get(record, record)) for record in sorted({*there, *stated})]
        refused += [Quarantined(f"{name}/{PICTURES}/{file}", name, "", "", f"left out when it was added: {reason}")
                    for file, reason in sorted(about["refused"].items())]
        reserved.setdefault(about["domain"], {}).update(
            {f"{name} ({photo})": likeness.Look.from_json(value) for photo, value in about["reserved"].items()})
    if not entries:
        raise UserError(f"{data} holds no pictures; run `restore-ml data init` or `restore-ml data add NAME PATH`.")
    return Scan(sorted(entries, key=lambda entry: (entry.stated != "test", entry.collection, entry.file)), refused,
                reserved)


def _not_taken(file: str) -> str:
    """Why a file in a collection is no record of it, by its path alone; an empty text where it may be one."""
    if file != printable(file):
        return "its name holds control characters or is not UTF-8"
    apart = folders.excludes_within(file)
    return f"left out: put there by a disk or program ({apart})" if apart else ""


def _entry(about: dict[str, Any], record: str, held_by: str) -> Entry:
    """A record with what collection.json says of it, and the file or folder that holds it."""
    described = about["pictures"].get(record, {})
    stated = "test" if about["role"] == "test" else described.get("split", "")
    return Entry(about["name"], record, about["domain"], stated, described.get("group", ""), about["synthetic"],
                 described.get("licence", about["licence"]), held_by, about["as_found"])


def home(placed: Placed) -> str:
    """The folder of a picture below prepared/: `photos/train`, `photos/validation`, `photos/test/<collection>`."""
    entry = placed.picture.entry
    return f"{entry.domain}/{placed.split}" + (f"/{entry.collection}" if placed.split == "test" else "")


def shard_of(out: Path, placed: Placed) -> Path:
    """The file that holds a picture's record: `<folder>/<prefix>.arrow`."""
    return out / home(placed) / f"{placed.picture.id[:PREFIX]}.arrow"


def write_shards(out: Path, placed: list[Placed], spill: Path, data: Path, progress: Progress | None = None,
                 mapper: Mapper = map, ledger: Ledger | None = None) -> int:
    """Write `<folder>/<prefix>.arrow` for every folder and hash prefix, records in the order of their ids.

    A shard of which the ledger says that it holds just these records is left as it is. Returns the number of records.
    """
    ledger = ledger or Ledger()
    ordered = sorted(placed, key=lambda item: (home(item), item.picture.id))
    work: list[_Work] = []
    keys, done = [], 0
    for path, group in groupby(ordered, key=lambda item: shard_of(out, item)):
        members = list(group)
        key = sha256(canonical_json([[item.picture.id, _facts(item.picture.entry)] for item in members]).encode())
        if ledger.get(path, key) is None:
            work.append(_Work(path, members, ledger.get(path, None) is not None))
            keys.append(key)
        else:
            done += len(members)
    for item, key, count in zip(work, keys, mapper(partial(_write_shard, spill, chunk_starts(spill), data), work),
                                strict=True):
        ledger.put(item.path, str(count), key)
        done += count
        if progress:
            progress("writing shards", done, len(ordered))
    ledger.prune(out, {shard_of(out, item) for item in ordered})
    ledger.save()
    return done


@dataclass(frozen=True)
class _Work:
    """A shard to write; whether the one that is there now is as it was written."""

    path: Path
    members: list[Placed]
    intact: bool


def _write_shard(spill: Path, starts: list[int], data: Path, work: _Work) -> int:
    return shards.write(work.path, _records(work, spill, starts, data))


def _records(work: _Work, spill: Path, starts: list[int], data: Path) -> Iterator[Record]:
    old = _old(work.path) if any(not item.picture.spilled for item in work.members) else {}
    for item in work.members:
        picture = item.picture
        if picture.spilled:
            arrays = {array.name: values(array, spill, starts) for array in picture.arrays}
        else:
            arrays = again(data, picture, old.get(picture.id), work.intact)
        yield Record(picture.id, arrays, _facts(picture.entry))


def _old(path: Path) -> dict[str, Record]:
    """The records of the shard that is replaced, by id; none where there is none that can be read."""
    try:
        return {record.id: record for record in Shard(path)}
    except (UserError, ValueError):
        return {}


def _facts(entry: Entry) -> dict[str, str | bool]:
    return {"name": entry.name, "collection": entry.collection, "group": entry.shown_group,
            "synthetic": entry.synthetic, **({"as_found": True} if entry.as_found else {})}


def write_manifests(out: Path, placed: list[Placed], refused: list[Quarantined]) -> Summary:
    """Write every folder's manifest (train and validation of every domain, even when empty) and the quarantine.

    Whatever else lies below `out`, from another time or a process that was killed, is deleted.
    """
    members: dict[str, list[Placed]] = {f"{domain}/{split}": [] for domain in domains.names()
                                        for split in ("train", "validation")}
    for item in placed:
        members.setdefault(home(item), []).append(item)
    for folder, rows in members.items():
        write_manifest(out / folder, rows)
    write_quarantine(out, refused)
    keep_only(out, {out / QUARANTINE, *(out / folder / MANIFEST for folder in members),
                *(shard_of(out, item) for item in placed)})
    reasons = Counter(kind_of(item.reason) for item in refused)
    return Summary({folder: len(rows) for folder, rows in members.items()}, len(refused), dict(reasons))
