"""Collections and what becomes of them, for the tests of kinds of data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from restore_ml.base.files import write_json
from restore_ml.data import collections, domains, shelf
from restore_ml.data.manifest import read_table
from restore_ml.data.prepare import prepare


def needs(*packages: str) -> None:
    """Skip the test where a package is not on the shelf."""
    for name in packages:
        if reason := shelf.fault(shelf.package(name)):
            pytest.skip(reason)


def lay_out(root: Path, domain: str, *names: str) -> dict[str, dict[str, Any]]:
    """Embedded collections of a domain under root/data; returns what their makers say, checked as any collection is."""
    about = {}
    for name in names:
        folder = root / "data" / name
        made = domains.get(domain).embedded()[name](folder / collections.PICTURES)
        write_json(folder / collections.DESCRIPTION, {"name": name, **made})
        about[name] = collections.describe(folder)
    return about


def prepared(root: Path) -> tuple[dict[str, int], dict[str, str]]:
    """How many records each folder of prepared/ holds, and why others are quarantined, by their path in data/."""
    summary = prepare(root / "data", root / "prepared", 1)
    reasons = {str(row["path"]): str(row["reason"])
               for row in read_table(root / "prepared/quarantine.parquet").to_pylist()}
    return {folder: count for folder, count in summary.counts.items() if count}, reasons


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
