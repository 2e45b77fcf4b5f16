"""The ids of the records of all collections, by which a newcomer is known to be there already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, write_json
from restore_ml.data import domains, folders
from restore_ml.data.collections import DESCRIPTION, PICTURES, describe
from restore_ml.data.domain import Domain
from restore_ml.data.parts import identity_of, read_all
from restore_ml.data.pictures import Refused

INDEX = layout.STATE / "hashes.json"
"""Pixel hashes of the pictures of all collections by path, size and time: a cache, made anew where it is missing."""


def hashes(root: Path) -> dict[str, str]:
    """The id of every readable record of all collections, by `<collection>/pictures/<record>`."""
    path = root / INDEX
    try:
        known = read_json(path)
    except UserError:
        known = {}
    fresh: dict[str, list[Any]] = {}
    for name, home, record, files, domain in _all_records(root):
        facts = [file.stat() for file in files]
        state = [sum(fact.st_size for fact in facts), max(fact.st_mtime_ns for fact in facts)]
        old = known.get(name) if isinstance(known, dict) else None
        if isinstance(old, list) and old[:2] == state:
            fresh[name] = old
            continue
        try:
            fresh[name] = [*state, identity_of(read_all(domain, home / record, home)[0])]
        except Refused:
            fresh[name] = [*state, ""]
    if fresh != known:
        write_json(path, fresh)
    return {name: entry[2] for name, entry in fresh.items() if entry[2]}


def _all_records(root: Path) -> Iterator[tuple[str, Path, str, list[Path], Domain]]:
    data = root / layout.DATA
    for folder in sorted(data.iterdir()) if data.is_dir() else []:
        if not (folder / DESCRIPTION).exists():
            continue
        domain, home = domains.get(describe(folder)["domain"]), folder / PICTURES
        for record, names in sorted(domain.records(folders.walk(home).files).items()):
            files = [home / name for name in names]
            if all(file.is_file() for file in files):
                yield f"{folder.name}/{PICTURES}/{record}", home, record, files, domain
