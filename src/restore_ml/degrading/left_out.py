"""The pictures that a task did not take, and why: samples/<task>/left_out.parquet, one row a picture and side."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from restore_ml.base.files import write_whole
from restore_ml.data.chunks import Chosen, places
from restore_ml.data.left_out import COLUMNS, LEFT_OUT
from restore_ml.degrading.keeper import Outcome
from restore_ml.tasks.base import Task


def write_left_out(task: Task, prepared: Path, out: Path, training: Outcome, cases: Outcome) -> int:
    """Write the table; returns its number of rows. `set` is `train`, or the name of the test set.

    `training`, `cases`: what `degrade_training` and `degrade_cases` return.
    """
    refused = [(prepared / task.roles[role] / "train", "train", reasons) for role, reasons in training.left_out.items()]
    refused += [(prepared / task.domain / "test" / name, name, reasons) for name, reasons in cases.left_out.items()]
    rows = []
    for folder, side, reasons in refused:
        for picture in Chosen([entry for entry in places(folder) if entry[0] in reasons] if reasons else []):
            rows.append({"id": picture.id, "name": str(picture.facts.get("name", "")),
                         "collection": str(picture.facts.get("collection", "")), "set": side,
                         "reason": reasons[picture.id]})
    table = pa.Table.from_pylist(sorted(rows, key=lambda row: (row["set"], row["collection"], row["name"], row["id"])),
                                 schema=COLUMNS)
    write_whole(out / LEFT_OUT, lambda temporary: pq.write_table(table, temporary))
    return len(rows)
