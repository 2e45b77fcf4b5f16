"""The collections that need no download, of every domain that has any: the same bytes under data/ everywhere."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import inside, sha256_of_file, write_json
from restore_ml.data import collections, domains, folders
from restore_ml.data.copying import remove
from restore_ml.data.domain import Domain, Maker
from restore_ml.data.embedded_photos import installed
from restore_ml.data.parts import expand
from restore_ml.data.shelf import Missing


def lay_out(root: Path, without: Collection[str] = (), compare: bool = True) -> list[Path]:
    """Lay the embedded collections under root/data; returns their folders, new or already there.

    Run again it changes nothing. Every collection appears whole or not at all. A collection whose package cannot be had
    (`shelf.Missing`) is empty and says why under `absent` in its collection.json; it is filled the next time that the
    package is there. `without`: collections, and pictures as `<collection>/<file>`, that are left out. `UserError` when
    a wheel's files differ from the table (nothing is written then), or, with `compare`, when a folder of that name
    holds something else.
    """
    laid = []
    for name, (domain, make) in _makers().items():
        target = root / layout.DATA / name
        empty = target.exists() and "absent" in collections.describe(target)
        if name in without or (target.exists() and not compare and not empty):
            continue
        with collections.incoming(root) as folder:
            about = {"name": name, **_made(domain, make, folder / collections.PICTURES)}
            write_json(folder / collections.DESCRIPTION, about)
            _leave_out(domains.get(domain), folder / collections.PICTURES, about["pictures"], {
                item.partition("/")[2] for item in without if item.startswith(f"{name}/")})
            if empty:
                shutil.rmtree(target)
            if target.exists():
                _same_files(folder, target)
            else:
                collections.put_in_place(folder, target)
        laid.append(target)
    return laid


def absent(root: Path) -> list[str]:
    """Which embedded collections, and pictures of them as `<collection>/<file>`, are not under root/data.

    The pictures are those that collection.json names; one whose package is missing has none."""
    missing = []
    for name, (domain, _) in _makers().items():
        target = root / layout.DATA / name
        if not target.exists():
            missing.append(name)
            continue
        kind, stated = domains.get(domain), collections.describe(target)["pictures"]
        there = set(expand(kind.records(folders.walk(target / collections.PICTURES).files), stated))
        if kind.parts_are_files:
            there = {file for file in there if (target / collections.PICTURES / file).exists()}
        missing += [f"{name}/{file}" for file in sorted(set(stated) - there)]
    return missing


def put_back(root: Path) -> None:
    """Lay out again what was taken out of the embedded collections; nothing that is there is touched."""
    for name in {item.partition("/")[0] for item in absent(root) if "/" in item}:
        target = root / layout.DATA / name / collections.PICTURES
        with collections.incoming(root) as folder:
            _makers()[name][1](folder / collections.PICTURES)
            for path in sorted(path for path in (folder / collections.PICTURES).rglob("*") if path.is_file()):
                copy = target / path.relative_to(folder / collections.PICTURES)
                if not copy.exists():
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    path.replace(copy)


def lacking(root: Path) -> list[str]:
    """A sentence for each package that cannot be had: which embedded collections are empty, which tables will differ
    for it, and why."""
    empty: dict[str, dict[str, str]] = {}  # by reason, the domains of the collections
    for name, (domain, _) in _makers().items():
        target = root / layout.DATA / name
        if target.exists() and "absent" in (about := collections.describe(target)):
            empty.setdefault(about["absent"], {})[name] = domain
    said = []
    for reason, of in empty.items():
        tables = [task for task in registry.tables() if set(of.values()) & set(registry.task(task).roles.values())]
        differ = f"the tables of {', '.join(tables)} will differ" if tables else "no table needs it"
        said.append(f"{' and '.join(of)} {'is' if len(of) == 1 else 'are'} empty, and {differ}: {reason}")
    return said


def _makers() -> dict[str, tuple[str, Maker]]:
    """Of each embedded collection its domain, and what fills its folder of pictures and gives its description."""
    return {name: (domain, make) for domain in domains.names()
            for name, make in domains.get(domain).embedded().items()}


def _made(domain: str, make: Maker, pictures: Path) -> dict[str, Any]:
    """What the maker says of the pictures; an empty collection with the reason where its package cannot be had."""
    try:
        return make(pictures)
    except Missing as error:
        shutil.rmtree(pictures, ignore_errors=True)
        return {"role": "mixed", "domain": domain, "synthetic": False, "source": "not there", "licence": "not stated",
                "pictures": {}, "absent": str(error)}


def _leave_out(domain: Domain, pictures: Path, stated: Collection[str], names: set[str]) -> None:
    """Delete the records of these names: a file or folder that is one; of one that holds several the whole when all of
    them are named, else the files that belong to the named ones alone."""
    files = folders.walk(pictures).files if names else []
    records = domain.records(files)
    of = expand(records, stated)
    for name in sorted(names):
        holder = of.get(name, "")
        if holder == name or (holder and all(other in names for other in stated if of.get(other) == holder)):
            remove(inside(pictures, holder))
        elif holder:
            within = [file.removeprefix(f"{holder}/") for file in records[holder]]
            for file in domain.own_files(name.removeprefix(f"{holder}/"), within):
                inside(pictures, f"{holder}/{file}").unlink(missing_ok=True)


def _same_files(laid_out: Path, there: Path) -> None:
    """`UserError` unless both folders hold the same files with the same bytes."""
    def hashes(folder: Path) -> dict[str, str]:
        return {path.relative_to(folder).as_posix(): sha256_of_file(path)
                for path in sorted(folder.rglob("*")) if path.is_file()}

    new, old = hashes(laid_out), hashes(there)
    if new != old:
        differing = sorted(name for name in {*new, *old} if new.get(name) != old.get(name))
        shown = ", ".join(differing[:5]) + (f" and {len(differing) - 5} more" if len(differing) > 5 else "")
        raise UserError(f"{there} differs from the embedded collection in {shown}. Installed: "
                        f"{', '.join(installed(name) for name in ('numpy', 'pillow'))}. Move that folder away and run "
                        "`restore-ml data init` again to get the embedded one.")
