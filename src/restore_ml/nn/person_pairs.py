"""Pairs of training pictures of the same person and of two, for networks that learn from pairs."""

from __future__ import annotations

import numpy as np

from restore_ml.data.shards import Record, Shards


class PersonPairs:
    """Whose picture each record is (its fact `group`; a record without one is a person of its own)."""

    def __init__(self, records: Shards) -> None:
        """Read the persons of all records."""
        self.records = records
        persons = [str(record.facts.get("group") or record.id) for record in records]
        _, codes, counts = np.unique(np.array(persons, object).astype(str), return_inverse=True, return_counts=True)
        self._order = np.argsort(codes, kind="stable")  # positions, person after person
        self._rank = np.argsort(self._order, kind="stable")
        ends = np.cumsum(counts)
        self._starts, self._ends = (ends - counts)[codes], ends[codes]

    def partner(self, identity: str, same: bool, draw: int) -> tuple[Record, bool]:
        """A record beside that of `identity`, and whether it is of the same person: as `same` asks where there is one.

        `draw`: a whole number of at least 0, which chooses. Of the same person it is another picture, and that picture
        itself only where there is no other record at all.
        """
        position, count = self.records.position(identity), len(self._order)
        start, end, rank = (int(values[position]) for values in (self._starts, self._ends, self._rank))
        own = end - start
        same = own == count or (same and own > 1)
        if same:
            place = start + (rank - start + 1 + draw % max(1, own - 1)) % own
        else:
            place = (end + draw % (count - own)) % count
        chosen = int(self._order[place])
        return Record(self.records.id(chosen), self.records.arrays(chosen)), same
