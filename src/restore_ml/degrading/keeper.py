"""What a file of samples was made from, so that a file or a record that would come out the same is not made again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from restore_ml.base.files import canonical_json, sha256
from restore_ml.data.chunks import Place
from restore_ml.data.ledger import Ledger
from restore_ml.data.shards import Record, Shard


@dataclass(frozen=True)
class Source:
    """A picture that samples were asked of: a hash of its facts, and why the task left it out (empty: it did not)."""

    facts: str
    left_out: str = ""


@dataclass
class Contents:
    """What one or more files that are written together hold: their sources by picture id, and how many records."""

    sources: dict[str, Source] = field(default_factory=dict)
    count: int = 0

    def of(self, identities: Sequence[str]) -> Contents:
        """Of some pictures alone (`count` is that of all)."""
        return Contents({name: self.sources[name] for name in identities if name in self.sources}, self.count)

    def left_out(self) -> dict[str, str]:
        """Picture id -> reason, of the pictures that the task did not take."""
        return {name: source.left_out for name, source in self.sources.items() if source.left_out}

    def to_json(self) -> str:
        """For a ledger."""
        return json.dumps([{name: [source.facts, source.left_out] for name, source in self.sources.items()},
                           self.count])

    @classmethod
    def from_json(cls, value: str) -> Contents:
        """The reverse."""
        sources, count = json.loads(value)
        return cls({name: Source(*entry) for name, entry in sources.items()}, count)


@dataclass
class Outcome:
    """What a part of degrading wrote: records a case (or role), and by test set (or role) the pictures that were
    left out of all its cases, with the reasons."""

    counts: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, dict[str, str]] = field(default_factory=dict)
    taken: dict[str, set[str]] = field(default_factory=dict)

    def add(self, case: str, side: str, contents: Contents) -> None:
        """Count what the files of a case or role hold."""
        self.counts[case] = self.counts.get(case, 0) + contents.count
        out, taken = contents.left_out(), self.taken.setdefault(side, set())
        taken |= contents.sources.keys() - out.keys()
        both = self.left_out.get(side, {}) | {name: reason for name, reason in out.items() if reason != NOT_MEANT}
        self.left_out[side] = {name: reason for name, reason in both.items() if name not in taken}


NOT_MEANT = "not meant for this case"
"""Of a picture that is damaged as it was found and a case with a truth, or the reverse: nobody is told."""


class Keeper:
    """A ledger that speaks of files of samples."""

    def __init__(self, ledger: Ledger | None) -> None:
        """None: nothing is remembered."""
        self.ledger = ledger or Ledger()

    def key(self, pictures: Sequence[Place], partners: str = "") -> str:
        """What files are made from: the pictures, the bytes of the shards that hold them, and what plays other roles
        in their samples."""
        if not self.ledger.on:
            return ""
        digests = [self.ledger.digest(path) for path in sorted({path for _, path, _ in pictures})]
        parts = [[identity for identity, _, _ in pictures], digests, *([partners] if partners else [])]
        return sha256(canonical_json(parts).encode())

    def recall(self, files: Sequence[Path], key: str | None) -> Contents | None:
        """What the files hold, if they are still as they were written and were made from `key` (None: anything)."""
        values = [self.ledger.get(path, key) for path in files]
        return None if any(value is None for value in values) else Contents.from_json(values[0] or "")

    def put(self, files: Sequence[Path], contents: Contents, key: str, raw: bytes = b"") -> None:
        """Remember the files as they are now."""
        for path in files:
            self.ledger.put(path, contents.to_json(), key, raw)
        self.ledger.save()


def hash_of_facts(picture: Record, partners: str = "") -> str:
    """A short hash of the facts that go with a picture's samples, and of what plays other roles in them."""
    return sha256((json.dumps(picture.facts, sort_keys=True) + partners).encode())[:16]


def records_by_id(files: Sequence[Path], sources: Mapping[str, Source]) -> dict[str, tuple[Record, ...]]:
    """By id, the records of files with the same ids in the same order, where any of the sources is in them.

    Their values stay on disk until they are read. There is no file where the task took none of the sources, or made no
    record of any.
    """
    if all(source.left_out for source in sources.values()) or not all(path.exists() for path in files):
        return {}
    rows = zip(*(Shard(path) for path in files), strict=True)
    return {row[0].id: row for row in rows}
