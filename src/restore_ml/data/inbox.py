"""An inbox: a folder into which pictures are dropped, and what becomes of each file in it.

A file that still grows is left for the next round. A good picture is copied into a collection (there at once whole or
not at all) and taken out of the inbox only when the caller says that it is safe (`Round.finish`, after `dvc add`).
What was saved again meanwhile stays for the next round. Whatever cannot be used goes to `<inbox>/.quarantine` with a
text file that says why. A kill at any moment loses no picture: what is already in the collection is recognised by its
bytes in the next round.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, sha256_of_file, sync_folder, write_json, write_text
from restore_ml.data import domains, folders
from restore_ml.data.collections import DESCRIPTION, NAME, PICTURES, describe, free_name, incoming, printable, remove
from restore_ml.data.domain import Domain
from restore_ml.data.parts import identity_of, read_all
from restore_ml.data.pictures import Refused, read_bytes

QUARANTINE = ".quarantine"
PARTIAL = (".part", ".partial", ".crdownload", ".download", ".filepart", ".tmp", ".swp", "~")
"""Endings that programs give to files which they are still writing."""
LONGEST = 220
"""Bytes of a name in the quarantine, where that of the text file beside it is longer."""
INDEX = layout.STATE / "hashes.json"
"""Pixel hashes of the pictures of all collections by path, size and time: a cache, made anew where it is missing."""

TAKEN = ".taken-"
"""How the names of files begin that are being deleted from the inbox."""

State = tuple[int, int, int]
"""Size, time of change and inode of a file: another version of it has another state."""


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
    excluded: Counter[str] = field(default_factory=Counter)
    """How many files and folders were passed over, by pattern, or as `hidden`."""
    taken: dict[Path, State] = field(default_factory=dict)
    """Files of the inbox that `finish` deletes, as they were when they were copied."""

    def finish(self) -> list[Path]:
        """Delete from the inbox what the collection holds now; call it when the collection is safe.

        A file that has been saved again since it was copied stays for the next round; returns those.
        """
        newer = [path for path, state in self.taken.items() if not _delete(path, state)]
        self.taken.clear()
        return newer

    def __str__(self) -> str:
        """A sentence with the counts, and up to ten names with their reasons."""
        counts = [(len(self.added), "added"), (len(self.already), "there already"), (len(self.refused), "refused"),
                  (len(self.duplicates), "duplicates"), (len(self.growing), "still being written"),
                  (len(self.closed), "folders that cannot be read")]
        text = ", ".join(f"{count} {what}" for count, what in counts if count) or "nothing new"
        closed = [(name, "cannot be read; open it to its group or owner") for name in self.closed]
        reasons = [f"  {name!r}: {reason}" for name, reason in closed + self.refused + self.duplicates]
        more = [f"  and {len(reasons) - 10} more"] if len(reasons) > 10 else []
        left_out = [folders.in_words(self.excluded)] if self.excluded else []
        return "\n".join([f"{self.collection}: {text}.", *left_out, *reasons[:10], *more])


def take(root: Path, inbox: Path, collection: str, role: str = "train", source: str = "", licence: str = "",
         settle: float = 2.0, domain: str = "photos", exclude: Sequence[str] = ()) -> Round:
    """Bring the finished records of `inbox` into data/<collection>, which is made where there is none.

    A file counts as finished when its size and time stay the same for `settle` seconds, a record of several files when
    all of them do. A record whose values are there already is a duplicate: within the collection, and for a training
    collection in any other one as well. `domain`: of a new collection; `exclude`: see `collections.add`.

    Raises:
        UserError: no such folder, a bad name, a role that is not the collection's.
    """
    inbox = Path(inbox)
    if not inbox.is_dir():
        raise UserError(f"There is no folder {str(inbox)!r}; give the folder into which pictures are dropped.")
    if inbox.resolve().is_relative_to((root / layout.DATA).resolve()):
        raise UserError(f"{str(inbox)!r} lies in {layout.DATA}; an inbox must lie elsewhere.")
    about = _description(root, collection, role, source, licence, domain)
    kind, found = domains.get(about["domain"]), Round(collection)
    _put_back(inbox)
    before = states(inbox, folders.walk(inbox, exclude).files)
    if before:
        time.sleep(settle)
    listing = folders.walk(inbox, exclude)
    after = states(inbox, listing.files)
    found.closed, found.excluded = [name for name, _ in listing.closed], listing.excluded
    found.excluded.pop("hidden", None)  # the quarantine, for one
    growing = {name for name in after if before.get(name) != after[name] or _partial(name)}
    records = kind.records(sorted(after))
    waiting = {parent.as_posix() for name in growing for parent in (PurePosixPath(name), *PurePosixPath(name).parents)}
    ready = {record: {name: after[name] for name in names} for record, names in sorted(records.items())
             if record not in waiting}
    found.growing = sorted(growing)
    if not ready:
        return found
    known = hashes(root)
    if role == "test":
        known = {path: value for path, value in known.items() if path.startswith(f"{collection}/")}
    _sort_in(root, inbox, ready, about, kind, known, found)
    return found


def states(inbox: Path, names: Iterable[str]) -> dict[str, State]:
    """The state of every file that is still there, by name."""
    found = {}
    for name in names:
        with contextlib.suppress(OSError):  # it went away
            found[name] = _state(inbox / name)
    return found


def _state(path: Path) -> State:
    facts = path.lstat()
    return facts.st_size, facts.st_mtime_ns, facts.st_ino


def _delete(path: Path, state: State) -> bool:
    """Delete a file if it is still the one with that state; it is looked at under a name that nobody writes to."""
    hidden = path.with_name(TAKEN + os.fsdecode(os.fsencode(path.name)[-LONGEST:]))
    try:
        if _state(path) != state:
            return False
        os.rename(path, hidden)
    except FileNotFoundError:
        return True
    if _state(hidden) == state:
        hidden.unlink()
        return True
    _restore(hidden, path)
    return False


def _restore(hidden: Path, path: Path) -> None:
    """Give a file its name again, or a free one beside it: nothing is overwritten."""
    target, number = path, 1
    while os.path.lexists(target):
        number += 1
        target = path.with_name(f"{path.stem}_{number}{path.suffix}")
    os.rename(hidden, target)


def _put_back(inbox: Path) -> None:
    """Files that a round was about to delete when it was killed come back; their copies are known by their bytes."""
    for hidden in inbox.rglob(f"{TAKEN}*"):
        _restore(hidden, hidden.with_name(hidden.name.removeprefix(TAKEN)))


def _partial(name: str) -> bool:
    return name.lower().endswith(PARTIAL)


def _description(root: Path, collection: str, role: str, source: str, licence: str, domain: str) -> dict[str, Any]:
    folder = root / layout.DATA / collection
    if (folder / DESCRIPTION).exists():
        about = describe(folder)
        if about["role"] != role:
            raise UserError(f"The collection {collection!r} has the role {about['role']!r}, not {role!r}; give that "
                            "role, or another collection.")
        return about
    if not NAME.fullmatch(collection) or collection == "none":
        raise UserError(f"{collection!r} is no name for a collection: use small letters, digits, - and _.")
    return {"name": collection, "role": role, "domain": domains.get(domain).name, "synthetic": False,
            "source": source or "not stated", "licence": licence or "not stated", "layout": "inbox", "pictures": {},
            "refused": {}}


def _sort_in(root: Path, inbox: Path, ready: dict[str, dict[str, State]], about: dict[str, Any], domain: Domain,
             known: dict[str, str], found: Round) -> None:
    """Each record that is ready goes into the collection, stays as a duplicate, or goes to the quarantine."""
    collection = about["name"]
    target = root / layout.DATA / collection / PICTURES
    by_hash = {value: path for path, value in sorted(known.items(), reverse=True)}
    names = {path.relative_to(target).as_posix().casefold() for path in target.rglob("*")} if target.is_dir() else set()
    with incoming(root) as staging:
        staging.mkdir()
        for number, (name, files) in enumerate(ready.items()):
            home = staging / str(number)  # a record keeps its path, whose folders may say what it is
            try:
                copied = _copied(inbox, name, files, home / printable(name), domain)
                ids, bad = read_all(domain, copied, home)
            except Refused as error:
                if states(inbox, files) == files:
                    found.refused.append((name, error.reason))
                    quarantine(inbox, name, error.reason)
                else:
                    found.growing.append(name)
                continue
            value = identity_of(ids)
            twin = by_hash.get(value)
            if states(inbox, files) != files:  # saved again while it was copied
                found.growing.append(name)
            elif twin is None:
                safe = free_name(printable(name), names)
                _describe(target.parent / DESCRIPTION, about, domain, name, safe, list(ids), bad)
                _put_in(copied, target / safe)
                by_hash[value] = f"{collection}/{PICTURES}/{safe}"
                found.added.append(name)
                found.taken |= {inbox / file: state for file, state in files.items()}
            elif twin in known and twin.startswith(f"{collection}/") and _same_bytes(
                    copied, root / layout.DATA / twin):
                found.already.append(name)
                found.taken |= {inbox / file: state for file, state in files.items()}
            else:
                found.duplicates.append((name, f"duplicate of {twin}"))
                quarantine(inbox, name, f"duplicate of {twin}")
            remove(copied)


def _describe(file: Path, about: dict[str, Any], domain: Domain, name: str, safe: str, parts: list[str],
              refused: list[tuple[str, str]]) -> None:
    """Write into collection.json what is known of a record before it lies there: its group, or its parts."""
    facts = {f"{safe}/{part}" if part else safe: domain.group(f"{name}/{part}" if part else name) for part in parts}
    about["pictures"] |= {path: {"group": group} if group else {} for path, group in facts.items()
                          if group or path != safe}
    about["refused"] |= {f"{safe}/{part}": reason for part, reason in refused}
    if not file.exists() or read_json(file) != about:
        write_json(file, about)


def _copied(inbox: Path, record: str, files: Iterable[str], copy: Path, domain: Domain) -> Path:
    """Copy a record's files to the project's disk and flush them; `Refused` where one cannot be read."""
    for file in files:
        target = copy if file == record else copy / printable(file.removeprefix(f"{record}/"))
        data = read_bytes(inbox / file, inbox, most=domain.max_bytes)
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    return copy


def _put_in(copied: Path, target: Path) -> None:
    """Rename the copy: the record is whole or not there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(copied, target)
    sync_folder(target.parent)


def _same_bytes(first: Path, second: Path) -> bool:
    """Whether two records have the same files with the same bytes."""
    def hashed(record: Path) -> dict[str, str]:
        files = [path for path in record.rglob("*") if path.is_file()] if record.is_dir() else [record]
        return {path.relative_to(record).as_posix(): sha256_of_file(path) for path in files}

    return hashed(first) == hashed(second)


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
