"""An inbox: a folder into which pictures are dropped, and what becomes of each file in it.

A file that still grows is left for the next round. A good picture is copied into a collection (there at once whole or
not at all) and taken out of the inbox only when the caller says that it is safe (`Round.finish`, after `dvc add`).
Whatever cannot be used goes to `<inbox>/.quarantine` with a text file that says why. A kill at any moment loses no
picture: what is already in the collection is recognised by its bytes in the next round.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from restore_ml import layout
from restore_ml.data.collections import DESCRIPTION, DOMAINS, NAME, PICTURES, describe, incoming, printable
from restore_ml.data.pictures import Refused, pixel_hash, read_picture
from restore_ml.data.scenes import read_scene
from restore_ml.errors import UserError
from restore_ml.files import read_json, sha256_of_file, sync_folder, write_json, write_text

QUARANTINE = ".quarantine"
PARTIAL = (".part", ".partial", ".crdownload", ".download", ".filepart", ".tmp", ".swp", "~")
"""Endings that programs give to files which they are still writing."""
LONGEST = 220
"""Bytes of a name in the quarantine, where that of the text file beside it is longer."""
INDEX = layout.STATE / "hashes.json"
"""Pixel hashes of the pictures of all collections by path, size and time: a cache, made anew where it is missing."""

Seen = dict[str, tuple[int, int]]
"""Size and time of change of every file, by path."""


@dataclass
class Round:
    """What one look into the inbox did; every list holds names below the inbox, reasons where there are some."""

    collection: str
    added: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    """Files that were in the collection with the same bytes: an earlier round was ended before it could tidy up."""
    refused: list[tuple[str, str]] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    growing: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    """Folders of the inbox that cannot be read: what is in them waits."""
    taken: list[Path] = field(default_factory=list)
    """Files of the inbox that `finish` deletes."""

    def finish(self) -> None:
        """Delete from the inbox what the collection holds now; call it when the collection is safe."""
        for path in self.taken:
            path.unlink(missing_ok=True)
        self.taken.clear()

    def __str__(self) -> str:
        """A sentence with the counts, and up to ten names with their reasons."""
        counts = [(len(self.added), "added"), (len(self.already), "there already"), (len(self.refused), "refused"),
                  (len(self.duplicates), "duplicates"), (len(self.growing), "still being written"),
                  (len(self.closed), "folders that cannot be read")]
        text = ", ".join(f"{count} {what}" for count, what in counts if count) or "nothing new"
        closed = [(name, "cannot be read; open it to its group or owner") for name in self.closed]
        reasons = [f"  {name!r}: {reason}" for name, reason in closed + self.refused + self.duplicates]
        more = [f"  and {len(reasons) - 10} more"] if len(reasons) > 10 else []
        return "\n".join([f"{self.collection}: {text}.", *reasons[:10], *more])


def take(root: Path, inbox: Path, collection: str, role: str = "train", source: str = "", licence: str = "",
         settle: float = 2.0) -> Round:
    """Bring the finished files of `inbox` into data/<collection>, which is made where there is none.

    A file counts as finished when its size and time stay the same for `settle` seconds. A picture whose pixels are
    there already is a duplicate: within the collection, and for a training collection in any other one as well.

    Raises:
        UserError: no such folder, a bad name, a role that is not the collection's.
    """
    inbox = Path(inbox)
    if not inbox.is_dir():
        raise UserError(f"There is no folder {str(inbox)!r}; give the folder into which pictures are dropped.")
    if inbox.resolve().is_relative_to((root / layout.DATA).resolve()):
        raise UserError(f"{str(inbox)!r} lies in {layout.DATA}; an inbox must lie elsewhere.")
    about = _description(root, collection, role, source, licence)
    found = Round(collection)
    before = look(inbox)
    if before:
        time.sleep(settle)
    after = look(inbox, found.closed)
    found.growing = sorted(name for name in after if before.get(name) != after[name] or _partial(name))
    ready = sorted(set(after) - set(found.growing))
    if not ready:
        return found
    known = hashes(root)
    if role == "test":
        known = {path: value for path, value in known.items() if path.startswith(f"{collection}/")}
    _sort_in(root, inbox, ready, about, known, found)
    return found


def look(inbox: Path, closed: list[str] | None = None) -> Seen:
    """All files of the inbox (hidden ones and folders behind links left out) with size and time; folders that cannot be
    read are added to `closed`."""
    found: Seen = {}
    closed = [] if closed is None else closed
    for place, folders, files in os.walk(
            inbox, onerror=lambda error: closed.append(os.path.relpath(error.filename, inbox))):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        for name in files:
            path = Path(place) / name
            with contextlib.suppress(OSError):  # it went away
                if not name.startswith("."):
                    facts = path.lstat()
                    found[path.relative_to(inbox).as_posix()] = facts.st_size, facts.st_mtime_ns
    return found


def _partial(name: str) -> bool:
    return name.lower().endswith(PARTIAL)


def _description(root: Path, collection: str, role: str, source: str, licence: str) -> dict[str, Any]:
    folder = root / layout.DATA / collection
    if (folder / DESCRIPTION).exists():
        about = describe(folder)
        if about["role"] != role:
            raise UserError(f"The collection {collection!r} has the role {about['role']!r}, not {role!r}; give that "
                            "role, or another collection.")
        return about
    if not NAME.fullmatch(collection) or collection == "none":
        raise UserError(f"{collection!r} is no name for a collection: use small letters, digits, - and _.")
    return {"name": collection, "role": role, "domain": DOMAINS[0], "synthetic": False,
            "source": source or "not stated", "licence": licence or "not stated", "layout": "inbox", "pictures": {},
            "refused": {}}


def _sort_in(root: Path, inbox: Path, ready: list[str], about: dict[str, Any], known: dict[str, str],
             found: Round) -> None:
    collection = about["name"]
    target = root / layout.DATA / collection / PICTURES
    by_hash = {value: path for path, value in sorted(known.items(), reverse=True)}
    names = {path.relative_to(target).as_posix().casefold() for path in target.rglob("*")} if target.is_dir() else set()
    with incoming(root) as staging:
        staging.mkdir()
        for number, name in enumerate(ready):
            path = inbox / name
            try:
                identity = identify(path, inbox, about["domain"])
            except Refused as error:
                found.refused.append((name, error.reason))
                quarantine(inbox, name, error.reason)
                continue
            twin = by_hash.get(identity)
            if twin is not None:
                if twin in known and twin.startswith(f"{collection}/") and _same_bytes(path, root / layout.DATA / twin):
                    found.already.append(name)
                    found.taken.append(path)
                else:
                    found.duplicates.append((name, f"duplicate of {twin}"))
                    quarantine(inbox, name, f"duplicate of {twin}")
                continue
            if not (target.parent / DESCRIPTION).exists():
                write_json(target.parent / DESCRIPTION, about)
            safe = free_name(printable(name), names)
            _copy_whole(path, staging / str(number), target / safe)
            by_hash[identity] = f"{collection}/{PICTURES}/{safe}"
            found.added.append(name)
            found.taken.append(path)


def identify(path: Path, within: Path, domain: str) -> str:
    """The pixel hash by which prepared pictures go; `Refused` with the reason where the file cannot be used."""
    if domain == "scenes":
        arrays = read_scene(path, within)
        return pixel_hash(*(arrays[name] for name in sorted(arrays)))
    picture: np.ndarray = read_picture(path, within)
    return pixel_hash(picture)


def _same_bytes(first: Path, second: Path) -> bool:
    return first.stat().st_size == second.stat().st_size and sha256_of_file(first) == sha256_of_file(second)


def free_name(name: str, taken: set[str]) -> str:
    """The name, with a number where `taken` (names without letters' case) has it; enters it there."""
    path = Path(name)
    safe, number = name, 1
    while safe.casefold() in taken:
        number += 1
        safe = path.with_name(f"{path.stem}_{number}{path.suffix}").as_posix()
    taken.add(safe.casefold())
    return safe


def _copy_whole(source: Path, staging: Path, target: Path) -> None:
    """Copy to the same disk, flush, rename: `target` is whole or not there."""
    with open(source, "rb") as given, open(staging, "wb") as file:
        while block := given.read(1 << 20):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(staging, target)
    sync_folder(target.parent)


def quarantine(inbox: Path, name: str, reason: str) -> Path:
    """Move a file to the inbox's quarantine, the reason beside it; nothing there is ever overwritten."""
    folder = inbox / QUARANTINE
    folder.mkdir(exist_ok=True)
    flat = printable(name).replace("/", "__")
    flat = flat.encode()[-LONGEST:].decode(errors="ignore")  # the end of it, which tells the kind of file
    target, number = folder / flat, 1
    while os.path.lexists(target):
        number += 1
        target = folder / f"{number}_{flat}"
    write_text(folder / f"{target.name}.reason.txt", f"{printable(name)}: {reason}\n")
    os.replace(inbox / name, target)
    return target


def hashes(root: Path) -> dict[str, str]:
    """The pixel hash of every readable picture of all collections, by `<collection>/pictures/<file>`."""
    path = root / INDEX
    try:
        known = read_json(path)
    except UserError:
        known = {}
    fresh: dict[str, list[Any]] = {}
    for name, file, domain in _all_pictures(root):
        facts = file.stat()
        mark = [facts.st_size, facts.st_mtime_ns]
        old = known.get(name) if isinstance(known, dict) else None
        if isinstance(old, list) and old[:2] == mark:
            fresh[name] = old
            continue
        try:
            fresh[name] = [*mark, identify(file, file.parent, domain)]
        except Refused:
            fresh[name] = [*mark, ""]
    if fresh != known:
        write_json(path, fresh)
    return {name: entry[2] for name, entry in fresh.items() if entry[2]}


def _all_pictures(root: Path) -> Iterator[tuple[str, Path, str]]:
    data = root / layout.DATA
    for folder in sorted(data.iterdir()) if data.is_dir() else []:
        if not (folder / DESCRIPTION).exists():
            continue
        domain = describe(folder)["domain"]
        for path in sorted((folder / PICTURES).rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield f"{folder.name}/{path.relative_to(folder).as_posix()}", path, domain
