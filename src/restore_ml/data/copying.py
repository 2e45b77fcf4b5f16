"""Copying records into a collection: under which names, what is left out and why, and the report of it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from errno import ENAMETOOLONG, ENOENT
from pathlib import Path, PurePosixPath

from restore_ml.base.errors import UserError
from restore_ml.data import folders
from restore_ml.data.domain import Domain
from restore_ml.data.parts import Ids, place_in, read_all, read_without
from restore_ml.data.pictures import Refused, read_bytes
from restore_ml.data.public_layouts import Found

Progress = Callable[[str, int, int], None]
"""`progress(what, done, total)`."""


@dataclass
class Report:
    """What was read: the collection's name, how many records are good, which were refused (path, reason)."""

    name: str
    good: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    skipped: int = 0
    """Files that do not promise a record (texts)."""
    renamed: dict[str, str] = field(default_factory=dict)
    """New names by old ones."""
    note: str = ""
    excluded: Counter[str] = field(default_factory=Counter)
    """How many files and folders were left out, by pattern, or as `hidden`."""
    what: str = "pictures"

    def __str__(self) -> str:
        """A sentence or more with the counts and up to ten names of a kind."""
        text = f"{self.name}: {self.good} {self.what}"
        text += f", {self.skipped} other files left out" if self.skipped else ""
        text += f", {len(self.renamed)} renamed" if self.renamed else ""
        text += f", {len(self.refused)} refused" if self.refused else ""
        lines = [f"{text}."] + ([self.note] if self.note else [])
        lines += [folders.in_words(self.excluded)] if self.excluded else []
        lines += _first_ten([f"renamed {printable(old)!r} to {new!r}: {_why_renamed(old)}"
                             for old, new in self.renamed.items()])
        lines += _first_ten([f"refused {name!r}: {reason}" for name, reason in self.refused])
        return "\n".join(lines)


def _first_ten(lines: list[str]) -> list[str]:
    more = [f"  and {len(lines) - 10} more"] if len(lines) > 10 else []
    return [f"  {line}" for line in lines[:10]] + more


def _why_renamed(name: str) -> str:
    return ("it holds characters that cannot be shown" if printable(name) != name
            else "another name differs from it only by the case of its letters")


def copy_good(source: Path, target: Path, found: list[Found], domain: Domain, files: list[str], report: Report,
               progress: Progress | None) -> dict[str, dict[str, str]]:
    """Fill `target` with the records that can be read; returns what their names say. Counts go to `report`."""
    target.mkdir(parents=True)
    described: dict[str, dict[str, str]] = {}
    taken: set[str] = set()
    members = domain.records(files)
    plain_first = sorted(found, key=lambda item: item.path != printable(item.path))  # they keep their names
    for number, item in enumerate(plain_first, 1):
        safe = free_name(printable(item.path), taken)
        try:
            if not domain.promises(item.path):
                read_all(domain, source / item.path, source)  # before it is copied: it may be a film of many gigabytes
            ids, bad = _copy_record(source, target, item.path, safe, members.get(item.path, [item.path]), domain)
        except Refused as error:
            taken.discard(safe.casefold())
            if domain.promises(item.path):
                report.refused.append((item.path, error.reason))
            else:
                report.skipped += 1
        else:
            if safe != item.path:
                report.renamed[item.path] = safe
            report.good += len(ids)
            report.refused += [(f"{item.path}/{part}", reason) for part, reason in bad]
            for part in ids:
                group = item.group or (domain.group(f"{item.path}/{part}") if part else "")
                facts = {key: value for key, value in (("split", item.split), ("group", group)) if value}
                if facts or part:
                    described[f"{safe}/{part}" if part else safe] = facts
        if progress:
            progress(f"reading {report.name}", number, len(found))
    return described


def _copy_record(source: Path, target: Path, record: str, safe: str, files: list[str],
                 domain: Domain) -> Ids:
    """Copy a record's files under its new name and read the copy, so that what is kept is what was checked; returns
    what `parts.read_all` says. A record that is `Refused` leaves nothing behind."""
    copy = target / safe
    names: set[str] = set()
    closed: list[tuple[str, str]] = []
    try:
        for file in files:
            inside = place_in(record, file)
            inner = free_name(printable(inside), names) if inside else ""
            try:
                data = read_bytes(source / file, source, most=domain.max_bytes)
            except Refused as error:
                if not inner:
                    raise
                closed.append((inner, error.reason))
                continue
            (copy / inner).parent.mkdir(parents=True, exist_ok=True)
            (copy / inner).write_bytes(data)
        return read_without(closed, lambda: read_all(domain, copy, target))
    except Refused:
        remove(copy)
        for folder in copy.parents[:len(copy.relative_to(target).parts) - 1]:
            with suppress(OSError):  # it holds another record
                folder.rmdir()
        raise
    except OSError as error:
        if error.errno not in (ENAMETOOLONG, ENOENT):
            raise UserError(f"{record!r} could not be copied: {error.strerror or error}. Nothing was added.") from None
        raise Refused("its path is too long" if error.errno == ENAMETOOLONG else "not there") from None


def remove(record: Path) -> None:
    """Delete a record, be it a file or a folder."""
    if record.is_dir() and not record.is_symlink():
        shutil.rmtree(record)
    else:
        record.unlink(missing_ok=True)


def printable(name: str) -> str:
    """The name with control characters and bytes that are not UTF-8 replaced by an underscore.

    >>> printable("new\\nline \\udce9.png")
    'new_line _.png'
    """
    return "".join("_" if not char.isprintable() or 0xD800 <= ord(char) <= 0xDFFF else char for char in name)


def free_name(name: str, taken: set[str]) -> str:
    """The path, with a number before its ending where `taken` (paths without letters' case) has it; enters it there.

    >>> free_name("a/B.png", {"a/b.png"})
    'a/B_2.png'
    """
    path = PurePosixPath(name)
    free, number = name, 1
    while free.casefold() in taken:
        number += 1
        free = path.with_name(f"{path.stem}_{number}{path.suffix}").as_posix()
    taken.add(free.casefold())
    return free
