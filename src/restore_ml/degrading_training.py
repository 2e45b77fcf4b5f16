"""Training material of a task: shards of records, one a picture, and the pools that they share (see `degrading`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Any

from restore_ml.data import shards
from restore_ml.data.chunks import Chosen, Mapper, Place, Progress, pixels, places
from restore_ml.data.kept import Sources, facts_of, held, made_from, records_of
from restore_ml.data.ledger import Ledger, keep_only
from restore_ml.data.shards import Record
from restore_ml.errors import UserError
from restore_ml.files import canonical_json, sha256
from restore_ml.tasks.base import Task
from restore_ml.tasks.pools import add_up, packed

PREFIX = 2
"""Training shards are cut by the first hexadecimal digits of the picture's hash: at most 16 ** PREFIX files."""
POOLS = ".pools"
"""The ledger's entry, not a file, that holds the names of a task's pools."""


@dataclass(frozen=True)
class _Shard:
    """A shard of training material: its file, its pictures, and what the file held of them before."""

    path: Path
    pictures: list[Place]
    key: str
    before: Sources
    value: str | None


def degrade_training(task: Task, prepared: Path, out: Path, seed: int, settings: dict[str, Any],
                     progress: Progress | None = None, mapper: Mapper = map, ledger: Ledger | None = None) -> int:
    """Write `train/<prefix>.arrow` and `train/pools/<pool>/pool.arrow` below `out`; returns the number of records.

    A picture that the task does not accept is left out. Shards are cut by the picture's hash, so that adding pictures
    changes only the shards they fall in; each is one piece of work.
    """
    folder = prepared / task.domain / "train"
    if not folder.is_dir():
        raise UserError(f"There are no training pictures in {folder}; `dvc repro prepare` makes them.")
    ledger, home = ledger or Ledger(), out / "train"
    home.mkdir(parents=True, exist_ok=True)
    found = places(folder)
    work = [_planned(ledger, home / f"{prefix}.arrow", list(members))
            for prefix, members in groupby(found, key=lambda place: place[0][:PREFIX])]
    made = iter(mapper(partial(_training_shard, task, seed, settings), [item for item in work if item.value is None]))
    taken: list[Place] = []
    wanted: set[Path] = set()
    parts = []
    done = count = 0
    for item in work:
        if item.value is None:
            sources, written, part = next(made)
            ledger.put(item.path, json.dumps([sources, written]), item.key, part)
            ledger.save()
        else:
            sources, written = json.loads(item.value)
            part = ledger.raw(item.path)
        taken += [place for place in item.pictures if sources[place[0]][1]]
        wanted |= {item.path} if written else set()
        parts.append(part)
        count, done = count + written, done + len(item.pictures)
        if progress:
            progress("training pictures", done, len(found))
    wanted |= _write_pools(task, home, seed, settings, ledger, taken, parts, [item.key for item in work])
    keep_only(home, wanted)
    ledger.prune(home, [*wanted, home / POOLS, *(item.path for item in work)])
    ledger.save()
    return count


def _planned(ledger: Ledger, path: Path, pictures: list[Place]) -> _Shard:
    key = made_from(ledger, pictures)
    return _Shard(path, pictures, key, held(ledger, [path]), ledger.get(path, key))


def _training_shard(task: Task, seed: int, settings: dict[str, Any], item: _Shard) -> tuple[Sources, int, bytes]:
    """Write a shard; returns its pictures, the records written, and its part of pools that add up."""
    sources: Sources = {}
    records = _training_records(task, seed, settings, item, sources)
    first = next(records, None)
    written = 0 if first is None else shards.write(item.path, chain([first], records))
    if first is None:
        item.path.unlink(missing_ok=True)
    taken = [place for place in item.pictures if sources[place[0]][1]]
    part = packed(task.training_pools(Chosen(taken), seed, settings)) if task.pools_from == "shards" else b""
    return sources, written, part


def _training_records(task: Task, seed: int, settings: dict[str, Any], item: _Shard,
                      sources: Sources) -> Iterator[Record]:
    old = records_of([item.path], item.before)
    for picture in Chosen(item.pictures):
        facts, taken = facts_of(picture), picture.id in old
        if item.before.get(picture.id) == (facts, taken):
            sources[picture.id] = facts, taken
            yield from old.get(picture.id, ())
            continue
        taken = task.accepts(pixels(picture), settings) is None
        sources[picture.id] = facts, taken
        if taken:
            yield from task.training_records([picture], seed, settings)


def _write_pools(task: Task, home: Path, seed: int, settings: dict[str, Any], ledger: Ledger, taken: list[Place],
                 parts: list[bytes], keys: list[str]) -> set[Path]:
    """Write the pools anew if what they are made from has changed; returns their files."""
    key = "" if task.pools_from == "nothing" else sha256(canonical_json(keys).encode())
    names = ledger.get(home / POOLS, key)
    files = {home / "pools" / name / "pool.arrow" for name in json.loads(names or "[]")}
    if names is not None and all(ledger.get(file, key) is not None for file in files):
        return files
    if task.pools_from == "shards":
        pools = add_up(task.training_pools(Chosen([]), seed, settings), parts)
    else:
        pools = task.training_pools(Chosen(taken), seed, settings)
    files = set()
    for name, pool in sorted(pools.items()):
        files.add(file := home / "pools" / name / "pool.arrow")
        shards.write(file, pool)
        ledger.put(file, "", key)
    ledger.put(home / POOLS, json.dumps(sorted(pools)), key)
    return files
