"""The tables of prepared pictures: one manifest a split or test set, and the quarantine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from restore_ml.base.errors import UserError
from restore_ml.base.files import write_whole
from restore_ml.data.splits import Placed, Quarantined

MANIFEST, QUARANTINE = "manifest.parquet", "quarantine.parquet"

COLUMNS = pa.schema([("id", pa.string()), ("path", pa.string()), ("name", pa.string()), ("collection", pa.string()),
                     ("group", pa.string()), ("width", pa.int32()), ("height", pa.int32()), ("channels", pa.int32()),
                     ("dtype", pa.string()), ("split", pa.string()), ("synthetic", pa.bool_()),
                     ("licence", pa.string())])
"""Columns of a manifest: `id` pixel SHA-256, `path` below data/, `group` the photograph a tile was cut from."""
QUARANTINE_COLUMNS = pa.schema([(name, pa.string()) for name in ("path", "collection", "split", "id", "reason")])


def row(placed: Placed) -> dict[str, Any]:
    """A picture's row of the manifest."""
    picture, entry = placed.picture, placed.picture.entry
    *_, height, width, channels = picture.main.shape
    return {"id": picture.id, "path": entry.path, "name": entry.name, "collection": entry.collection,
            "group": entry.shown_group, "width": width, "height": height, "channels": channels,
            "dtype": picture.main.dtype, "split": placed.split, "synthetic": entry.synthetic, "licence": entry.licence}


def write_manifest(folder: Path, placed: Iterable[Placed]) -> None:
    """Write folder/manifest.parquet, sorted by id: equal pictures give equal bytes."""
    rows = sorted((row(item) for item in placed), key=lambda values: values["id"])
    table = pa.Table.from_pylist(rows, schema=COLUMNS)
    write_whole(folder / MANIFEST, lambda temporary: pq.write_table(table, temporary))


def write_quarantine(out: Path, refused: Iterable[Quarantined]) -> None:
    """Write out/quarantine.parquet: every picture that is not used, and why."""
    rows = [{name: getattr(item, name) for name in QUARANTINE_COLUMNS.names} for item in refused]
    table = pa.Table.from_pylist(sorted(rows, key=lambda values: (values["path"], values["reason"])),
                                 schema=QUARANTINE_COLUMNS)
    write_whole(out / QUARANTINE, lambda temporary: pq.write_table(table, temporary))


def read_table(path: Path) -> pa.Table:
    """Read a manifest or the quarantine; `UserError` when it is missing or broken."""
    try:
        table = pq.read_table(path)
        table.validate(full=True)
        return table
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; `dvc repro prepare` makes it.") from None
    except (pa.ArrowException, OSError, ValueError) as error:  # broken bytes; ValueError: a name or text not in UTF-8
        raise UserError(f"{path} is broken ({' '.join(str(error).split())}); delete it and run `dvc repro "
                        "prepare`.") from None


def manifests(prepared: Path) -> list[Path]:
    """Every manifest below `prepared`, sorted."""
    return sorted(prepared.glob(f"*/*/{MANIFEST}")) + sorted(prepared.glob(f"*/test/*/{MANIFEST}"))
