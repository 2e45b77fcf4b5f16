"""What a file of samples was made from, and what of an older one may be kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from restore_ml.data.chunks import Place
from restore_ml.data.ledger import Ledger
from restore_ml.data.shards import Record, Shard
from restore_ml.files import canonical_json, sha256

Sources = dict[str, tuple[str, bool]]
"""By picture id: the hash of its facts, and whether the task took it."""


def made_from(ledger: Ledger, pictures: Sequence[Place]) -> str:
    """What a file is made from: the pictures and the bytes of the shards that hold them."""
    if not ledger.on:
        return ""
    digests = [ledger.digest(path) for path in sorted({path for _, path, _ in pictures})]
    return sha256(canonical_json([[identity for identity, _, _ in pictures], digests]).encode())


def held(ledger: Ledger, files: Sequence[Path]) -> Sources:
    """What files, if they are still as they were written, hold of which pictures; {} else."""
    values = [ledger.get(path, None) for path in files]
    if any(value is None for value in values):
        return {}
    return {identity: (facts, taken) for identity, (facts, taken) in json.loads(values[0] or "")[0].items()}


def facts_of(picture: Record) -> str:
    """A short hash of the facts that go with a picture's samples."""
    return sha256(json.dumps(picture.facts, sort_keys=True).encode())[:16]


def records_of(files: Sequence[Path], known: Sources) -> dict[str, tuple[Record, ...]]:
    """By id, the records of files with the same ids in the same order, where any of the known pictures is in them.

    Their values stay on disk until they are read.
    """
    if not any(taken for _, taken in known.values()):
        return {}
    rows = zip(*(Shard(path) for path in files), strict=True)
    return {row[0].id: row for row in rows}
