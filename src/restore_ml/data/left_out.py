"""Every picture that is left out anywhere, with its reason: when it was added, by `prepare`, and by each task.

`prepare` writes prepared/quarantine.parquet (`restore_ml.data.manifest`); each task writes the pictures that it does
not take to samples/<task>/left_out.parquet, with the columns of `COLUMNS`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.data.manifest import QUARANTINE, read_table

LEFT_OUT = "left_out.parquet"
COLUMNS = pa.schema([(name, pa.string()) for name in ("id", "name", "collection", "set", "reason")])
"""Of a task's file: the picture, the test set that it would have been of (`train` for training), and why it is not."""


@dataclass(frozen=True, order=True)
class LeftOut:
    """A picture that `by` (`prepare` or a task) left out, of a collection, of `set` (a test set, or `train`)."""

    by: str
    collection: str
    set: str
    name: str
    reason: str


def kind_of(reason: str) -> str:
    """A reason without what is particular to a picture, so that equal reasons can be counted.

    >>> kind_of("near-duplicate of the test picture photos/pictures/a.png"), kind_of("too small: 8 x 8, the ...")
    ('near-duplicate', 'too small')
    """
    return re.split(r" of | with | as |: |, ", reason)[0].rstrip(":")


def left_out(root: Path) -> list[LeftOut]:
    """All of them, sorted. What no stage has looked at yet is not among them.

    `UserError`: a table that is broken or has other columns.
    """
    entries = []
    quarantine = root / layout.PREPARED / QUARANTINE
    if quarantine.exists():
        for row in read_table(quarantine).to_pylist():
            collection, _, name = row["path"].partition("/pictures/")
            entries.append(LeftOut("prepare", collection, row["split"], name, row["reason"]))
    for path in sorted((root / layout.SAMPLES).glob(f"*/{LEFT_OUT}")):
        table = read_table(path)
        if not set(COLUMNS.names) <= set(table.column_names):
            raise UserError(f"{path} has the columns {', '.join(table.column_names)}; `dvc repro` makes it again with "
                            f"{', '.join(COLUMNS.names)}.")
        entries += [LeftOut(path.parent.name, row["collection"], row["set"], row["name"], row["reason"])
                  for row in table.to_pylist()]
    return sorted(entries)


def in_words(pictures: Iterable[LeftOut], names: int = 3) -> str:
    """Sentences on what was left out: a line for each stage, collection and kind of reason, with up to `names` names.

    An empty text where nothing was.
    """
    ordered = sorted(pictures)
    grouped: dict[tuple[str, str, str], list[LeftOut]] = {}
    for item in ordered:
        grouped.setdefault((item.by, item.collection, kind_of(item.reason)), []).append(item)
    lines = []
    for (by, collection, kind), items in grouped.items():
        distinct = list(dict.fromkeys(item.name for item in items))
        more = f" and {len(distinct) - names} more" if len(distinct) > names else ""
        only = {item.reason for item in items}
        reason = only.pop() if len(only) == 1 else kind
        lines.append(f"  {by}, {collection}: {len(distinct)} left out, {reason} ({', '.join(distinct[:names])}{more})")
    if not lines:
        return ""
    total = Counter(item.by for item in {(item.by, item.collection, item.name): item for item in ordered}.values())
    counts = ", ".join(f"{count} by {by}" for by, count in sorted(total.items()))
    return "\n".join([f"Pictures left out: {counts}.", *lines])
