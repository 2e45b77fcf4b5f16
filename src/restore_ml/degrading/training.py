"""Training material of a task: shards of records, one a picture and role, and the pools that they share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Any

from restore_ml.base.errors import UserError
from restore_ml.base.files import canonical_json, sha256
from restore_ml.data import domains, shards
from restore_ml.data.chunks import Chosen, Mapper, Place, Progress, places
from restore_ml.data.ledger import Ledger, keep_only
from restore_ml.data.shards import Record
from restore_ml.degrading.keeper import Contents, Keeper, Outcome, Source, hash_of_facts, records_by_id
from restore_ml.degrading.pools import add_up, packed
from restore_ml.tasks.base import Parts

PREFIX = 2
"""Training shards are cut by the first hexadecimal digits of the picture's hash: at most 16 ** PREFIX files."""
POOLS = ".pools"
"""The ledger's entry, not a file, that holds the names of a task's pools."""


@dataclass(frozen=True)
class _Plan:
    """A shard that shall be there: its role ("" is the first one), its pictures, what its file holds of them now.
    `made` is None while it is not right."""

    path: Path
    role: str
    pictures: list[Place]
    key: str
    before: Contents
    made: Contents | None


def degrade_training(parts: Parts, prepared: Path, out: Path, seed: int, settings: dict[str, Any],
                     progress: Progress | None = None, mapper: Mapper = map,
                     ledger: Ledger | None = None) -> Outcome:
    """Write `train/<prefix>.arrow`, `train/roles/<role>/<prefix>.arrow` and `train/pools/<pool>/pool.arrow` below
    `out`, and delete what else lies there; returns how many records each role
    has, and which pictures were left out.

    A picture that the task does not accept is left out. Shards are cut by the picture's hash, so that adding pictures
    changes only the shards they fall in; each is one piece of work.
    """
    keeper, home = Keeper(ledger), out / "train"
    home.mkdir(parents=True, exist_ok=True)
    plans = _plans(parts, prepared, home, keeper)
    written = iter(mapper(partial(_write_shard, parts, seed, settings), [plan for plan in plans if plan.made is None]))
    total, done = sum(len(plan.pictures) for plan in plans), 0
    outcome = Outcome({role: 0 for role in parts.task.roles}, {role: {} for role in parts.task.roles})
    taken: list[Place] = []
    files: set[Path] = set()
    sums: list[bytes] = []  # each shard's part of pools that add up
    for plan in plans:
        if plan.made is None:
            contents, part = next(written)
            keeper.put([plan.path], contents, plan.key, part)
        else:
            contents, part = plan.made, keeper.ledger.raw(plan.path)
        role = plan.role or next(iter(parts.task.roles))
        outcome.add(role, role, contents)
        files |= {plan.path} if contents.count else set()
        if not plan.role:
            sums.append(part)
            taken += [entry for entry in plan.pictures if not contents.sources[entry[0]].left_out]
        done += len(plan.pictures)
        if progress:
            progress("training pictures", done, total)
    files |= _write_pools(parts, home, seed, settings, keeper.ledger, taken, sums,
                          [plan.key for plan in plans if not plan.role])
    keep_only(home, files)
    keeper.ledger.prune(home, [*files, home / POOLS, *(plan.path for plan in plans)])
    keeper.ledger.save()
    return outcome


def _plans(parts: Parts, prepared: Path, home: Path, keeper: Keeper) -> list[_Plan]:
    plans = []
    for number, (role, domain) in enumerate(parts.task.roles.items()):
        folder = prepared / domain / "train"
        if not folder.is_dir():
            raise UserError(f"There are no training pictures in {folder}; `dvc repro prepare` makes them.")
        entry = home / "roles" / role if number else home
        for prefix, members in groupby(places(folder), key=lambda entry: entry[0][:PREFIX]):
            path, pictures = entry / f"{prefix}.arrow", list(members)
            key = keeper.key(pictures)
            plans.append(_Plan(path, role if number else "", pictures, key, keeper.recall([path], None) or Contents(),
                               keeper.recall([path], key)))
    return plans


def _write_shard(parts: Parts, seed: int, settings: dict[str, Any], plan: _Plan) -> tuple[Contents, bytes]:
    """Write a shard; returns what it holds, and its part of pools that add up."""
    contents = Contents()
    records = _records(parts, seed, settings, plan, contents)
    first = next(records, None)
    if first is None:
        plan.path.unlink(missing_ok=True)
    else:
        contents.count = shards.write(plan.path, chain([first], records))
    if plan.role or parts.training.pools_from != "shards":
        return contents, b""
    taken = [entry for entry in plan.pictures if not contents.sources[entry[0]].left_out]
    return contents, packed(parts.training.pools(Chosen(taken), seed, settings))


def _records(parts: Parts, seed: int, settings: dict[str, Any], plan: _Plan, contents: Contents) -> Iterator[Record]:
    """The records of a shard, those taken over from its file and new ones; fills `contents.sources`."""
    main = domains.get(parts.task.roles[plan.role] if plan.role else parts.task.domain).main
    old = records_by_id([plan.path], plan.before.sources)
    for picture in Chosen(plan.pictures):
        facts_hash, source = hash_of_facts(picture), plan.before.sources.get(picture.id)
        if source is not None and source.facts == facts_hash and bool(source.left_out) != (picture.id in old):
            contents.sources[picture.id] = source
            yield from old.get(picture.id, ())
            continue
        reason = parts.task.accepts(picture.arrays[main], settings) or ""
        contents.sources[picture.id] = Source(facts_hash, reason)
        if not reason and plan.role:
            yield from parts.training.partner_records(plan.role, [picture], seed, settings)
        elif not reason:
            yield from parts.training.records([picture], seed, settings)


def _write_pools(parts: Parts, home: Path, seed: int, settings: dict[str, Any], ledger: Ledger, taken: list[Place],
                 sums: list[bytes], keys: list[str]) -> set[Path]:
    """Write the pools anew if what they are made from has changed; returns their files."""
    training = parts.training
    key = "" if training.pools_from == "nothing" else sha256(canonical_json(keys).encode())
    names = ledger.get(home / POOLS, key)
    files = {home / "pools" / name / "pool.arrow" for name in json.loads(names or "[]")}
    if names is not None and all(ledger.get(file, key) is not None for file in files):
        return files
    if training.pools_from == "shards":
        pools = add_up(training.pools(Chosen([]), seed, settings), sums)
    else:
        pools = training.pools(Chosen(taken), seed, settings)
    files = set()
    for name, pool in sorted(pools.items()):
        files.add(file := home / "pools" / name / "pool.arrow")
        shards.write(file, pool)
        ledger.put(file, "", key)
    ledger.put(home / POOLS, json.dumps(sorted(pools)), key)
    return files
