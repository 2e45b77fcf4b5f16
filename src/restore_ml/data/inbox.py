"""An inbox: a folder into which pictures are dropped, and what becomes of each file in it.

A file that still grows is left for the next round. A good picture is copied into a collection (there at once whole or
not at all) and taken out of the inbox only when the caller says that it is safe (`Round.finish`, after `dvc add`).
What was saved again meanwhile stays for the next round. Whatever cannot be used goes to `<inbox>/.quarantine` with a
text file that says why: of a folder that holds several records (a person's pictures) only what cannot be used. A kill
at any moment loses no picture: what is already in the collection is recognised by its bytes in the next round.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, sha256_of_file, sync_folder, write_json
from restore_ml.data import domains, folders
from restore_ml.data.collections import DESCRIPTION, NAME, PICTURES, describe, incoming
from restore_ml.data.copying import free_name, printable, remove
from restore_ml.data.domain import Domain
from restore_ml.data.inbox_files import State, delete, partial, put_back, quarantine, states
from restore_ml.data.parts import identity_of, place_in, read_all, read_without
from restore_ml.data.pictures import Refused, read_bytes
from restore_ml.data.record_ids import hashes


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
        newer = [path for path, state in self.taken.items() if not delete(path, state)]
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
    kind, round_ = domains.get(about["domain"]), Round(collection)
    put_back(inbox)
    before = states(inbox, folders.walk(inbox, exclude).files)
    if before:
        time.sleep(settle)
    listing = folders.walk(inbox, exclude)
    after = states(inbox, listing.files)
    round_.closed, round_.excluded = [name for name, _ in listing.closed], listing.excluded
    round_.excluded.pop("hidden", None)  # the quarantine, for one
    growing = {name for name in after if before.get(name) != after[name] or partial(name)}
    records = kind.records(sorted(after))
    waiting = {parent.as_posix() for name in growing for parent in (PurePosixPath(name), *PurePosixPath(name).parents)}
    ready = {record: {name: after[name] for name in names} for record, names in sorted(records.items())
             if record not in waiting and growing.isdisjoint(names)}
    round_.growing = sorted(growing)
    if not ready:
        return round_
    stored = hashes(root)
    if role == "test":
        stored = {path: value for path, value in stored.items() if path.startswith(f"{collection}/")}
    _sort_in(root, inbox, ready, about, kind, stored, round_)
    return round_


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
             stored: dict[str, str], round_: Round) -> None:
    """Each record that is ready goes into the collection, stays as a duplicate, or goes to the quarantine.

    Of a folder that holds several records the good ones are taken; the files of the others go to the quarantine one by
    one, each with its reason.
    """
    collection = about["name"]
    target = root / layout.DATA / collection / PICTURES
    by_hash = {value: path for path, value in sorted(stored.items(), reverse=True)}
    names = {path.relative_to(target).as_posix().casefold() for path in target.rglob("*")} if target.is_dir() else set()
    with incoming(root) as staging:
        staging.mkdir()
        for number, (name, files) in enumerate(ready.items()):
            home = staging / str(number)  # a record keeps its path, whose folders may say what it is
            try:
                copy = _copied(inbox, name, files, home / printable(name), domain, home)
            except Refused as error:
                if states(inbox, files) == files:
                    round_.refused.append((name, error.reason))
                    quarantine(inbox, name, error.reason, files)
                else:
                    round_.growing.append(name)
                continue
            value = identity_of(copy.ids)
            twin = by_hash.get(value)
            if states(inbox, files) != files:  # saved again while it was copied
                round_.growing.append(name)
            elif twin is None:
                safe = free_name(printable(name), names)
                _describe(target.parent / DESCRIPTION, about, domain, name, safe, list(copy.ids), copy.refused)
                _put_in(copy.path, target / safe)
                by_hash[value] = f"{collection}/{PICTURES}/{safe}"
                round_.added.append(name)
                _leave(inbox, name, files, copy, round_)
            elif twin in stored and twin.startswith(f"{collection}/") and _same_bytes(
                    copy.path, root / layout.DATA / twin):
                round_.already.append(name)
                _leave(inbox, name, files, copy, round_)
            else:
                round_.duplicates.append((name, f"duplicate of {twin}"))
                quarantine(inbox, name, f"duplicate of {twin}", files)
            remove(copy.path)


@dataclass
class _Copy:
    """A record copied to the project's disk: where it lies, the ids of its good parts, the parts that cannot be used,
    each with the reason, and the files that were left out of it because of that (by their names in the inbox)."""

    path: Path
    ids: dict[str, str]
    refused: list[tuple[str, str]]
    aside: dict[str, str]


def _leave(inbox: Path, name: str, files: dict[str, State], copy: _Copy, found: Round) -> None:
    """What becomes of the files of a record that the collection holds: they may go, and those left out of it go to the
    quarantine."""
    found.refused += [(f"{name}/{part}", reason) for part, reason in copy.refused]
    found.taken |= {inbox / file: state for file, state in files.items() if file not in copy.aside}
    for file, reason in copy.aside.items():
        found.refused.append((file, reason))
        quarantine(inbox, file, reason)


def _describe(file: Path, about: dict[str, Any], domain: Domain, name: str, safe: str, parts: list[str],
              refused: list[tuple[str, str]]) -> None:
    """Write into collection.json what is known of a record before it lies there: its group, or its parts."""
    groups = {f"{safe}/{part}" if part else safe: domain.group(f"{name}/{part}" if part else name) for part in parts}
    about["pictures"] |= {path: {"group": group} if group else {} for path, group in groups.items()
                          if group or path != safe}
    about["refused"] |= {f"{safe}/{part}": reason for part, reason in refused}
    if not file.exists() or read_json(file) != about:
        write_json(file, about)


def _copied(inbox: Path, record: str, files: Iterable[str], copy: Path, domain: Domain, home: Path) -> _Copy:
    """Copy a record's files to the project's disk, flush them and read the copy, which lies in the folder `home`.

    Raises:
        Refused: one of the files cannot be read, or nothing in the record can be used; of a folder that holds several
            records, none of them.
    """
    inner: dict[str, str] = {}
    closed: list[tuple[str, str]] = []
    names: set[str] = set()
    for file in files:
        inside = place_in(record, file)
        inside = free_name(printable(inside), names) if inside else ""
        try:
            data = read_bytes(inbox / file, inbox, most=domain.max_bytes)
        except Refused as error:
            if not inside:
                raise
            closed.append((inside, error.reason))
            data = b""
        inner[inside] = file
        if data:
            _write(copy / inside, data)
    ids, bad = read_without(closed, lambda: read_all(domain, copy, home))
    aside: dict[str, str] = {}
    refused = []
    for part, reason in bad:
        own = domain.own_files(part, list(inner))
        aside |= {inner[inside]: reason for inside in own}
        for inside in own:
            (copy / inside).unlink(missing_ok=True)
        if not own:
            refused.append((part, reason))
    return _Copy(copy, ids, refused, aside)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


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
