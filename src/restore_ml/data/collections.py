"""Collections: folders of pictures with a source and a licence, under data/.

data/<name>/collection.json says {name, role, domain, synthetic, source, licence} and, where they differ from that or
say more, `pictures` (by file: group, split, source, licence), `refused` (files that were left out, and why) and
`reserved` (how photographs look of which only tiles are there: none of them may enter training).
data/<name>/pictures/ holds the files.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from errno import ENAMETOOLONG, ENOENT
from pathlib import Path
from typing import Any

from restore_ml import layout
from restore_ml.data import likeness, public_layouts
from restore_ml.data.pictures import SUFFIXES, Refused, read_picture
from restore_ml.data.scenes import SCENE_SUFFIX, read_scene
from restore_ml.errors import UserError, shown
from restore_ml.files import read_json, sync_folder, write_json

DESCRIPTION, PICTURES = "collection.json", "pictures"
ROLES, DOMAINS, SPLITS = ("train", "test", "mixed"), ("photos", "scenes"), ("train", "validation", "test")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

Progress = Callable[[str, int, int], None]
"""`progress(what, done, total)`."""


@dataclass
class Report:
    """What was read: the collection's name, how many pictures are good, which files were refused (path, reason)."""

    name: str
    good: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    skipped: int = 0
    """Files that do not claim to be pictures (texts, hidden files)."""
    renamed: int = 0
    note: str = ""

    def __str__(self) -> str:
        """A sentence or more with the counts and up to ten names."""
        text = f"{self.name}: {self.good} pictures"
        text += f", {self.skipped} other files left out" if self.skipped else ""
        text += f", {self.renamed} renamed (control characters)" if self.renamed else ""
        text += f", {len(self.refused)} refused" if self.refused else ""
        lines = [f"{text}."] + ([self.note] if self.note else [])
        lines += [f"  refused {name!r}: {reason}" for name, reason in self.refused[:10]]
        lines += [f"  and {len(self.refused) - 10} more"] if len(self.refused) > 10 else []
        return "\n".join(lines)


def add(root: Path, name: str, path: Path, role: str = "test", source: str = "", licence: str = "",
        layout_name: str = "auto", domain: str = "photos", progress: Progress | None = None) -> Report:
    """Copy the good pictures of the folder `path` to root/data/<name> and describe them; nothing is half added.

    Files are copied, not linked: a hard link would let an edit of the original change the collection (and DVC's cache)
    behind every check. Every file is decoded once; broken ones are left out and named, in the report and in
    collection.json. Links to files within the folder are followed, links that lead out of it are refused, and linked
    folders are not entered. Hidden files are left out. `domain="scenes"` takes safetensors files (see `read_scene`).
    `UserError`: a bad or taken name, no such folder, no readable picture in it.
    """
    target = _new_target(root, name)
    _one_of(role, ROLES, "role")
    _one_of(domain, DOMAINS, "domain")
    _one_of(layout_name, public_layouts.LAYOUTS, "layout")
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"{str(path)!r} is not a folder; give a folder with pictures.")
    if path.resolve().is_relative_to((root / layout.DATA).resolve()):
        raise UserError(f"{str(path)!r} lies in {layout.DATA} already; give a folder elsewhere.")
    closed: list[tuple[str, str]] = []
    files = _files(path, closed)
    chosen = public_layouts.recognise(files) if layout_name == "auto" else layout_name
    found, note = public_layouts.select(chosen, files, role)
    report = Report(name, refused=closed, note=note)
    with incoming(root) as folder:
        described = _copy_good(path, folder / PICTURES, found, domain, report, progress)
        if not report.good:
            raise UserError(f"{str(path)!r} holds no readable picture: {len(files)} files. {report}")
        about = {"name": name, "role": role, "domain": domain, "synthetic": False, "source": source or "not stated",
                 "licence": licence or "not stated", "layout": chosen, "pictures": described,
                 "refused": {printable(file): reason for file, reason in report.refused}}
        write_json(folder / DESCRIPTION, about)
        put_in_place(folder, target)
    return report


def _copy_good(source: Path, target: Path, found: list[public_layouts.Found], domain: str, report: Report,
               progress: Progress | None) -> dict[str, dict[str, str]]:
    """Fill `target` with the files that can be read; returns what their names say. Counts go to `report`."""
    target.mkdir(parents=True)
    described: dict[str, dict[str, str]] = {}
    taken: set[str] = set()
    plain_first = sorted(found, key=lambda item: item.path != printable(item.path))  # they keep their names
    for number, item in enumerate(plain_first, 1):
        file = source / item.path
        try:
            _read(file, source, domain)
        except Refused as error:
            if _claims(file, domain):
                report.refused.append((item.path, error.reason))
            else:
                report.skipped += 1
        else:
            safe = _safe_name(item.path, taken)
            try:
                (target / safe).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target / safe)
            except OSError as error:
                if error.errno not in (ENAMETOOLONG, ENOENT):
                    raise UserError(f"{item.path!r} could not be copied: {error.strerror or error}. Nothing was "
                                    "added.") from None
                reason = "its path is too long" if error.errno == ENAMETOOLONG else "not there"
                report.refused.append((item.path, reason))
                continue
            report.renamed += safe != item.path
            report.good += 1
            facts = {key: value for key, value in (("split", item.split), ("group", item.group)) if value}
            if facts:
                described[safe] = facts
        if progress:
            progress(f"reading {report.name}", number, len(found))
    return described


def _read(file: Path, folder: Path, domain: str) -> None:
    if domain == "scenes":
        read_scene(file, folder)
    else:
        read_picture(file, folder)


def _claims(file: Path, domain: str) -> bool:
    """Whether the name promises a picture (or scene) of the domain."""
    return file.suffix.lower() in ({SCENE_SUFFIX} if domain == "scenes" else SUFFIXES)


def _files(folder: Path, closed: list[tuple[str, str]] | None = None) -> list[str]:
    """Relative POSIX paths of all files, sorted; hidden ones, and folders behind links, are left out. Folders that
    cannot be entered go to `closed`, each with the reason."""
    def note(error: OSError) -> None:
        if closed is not None:
            closed.append((os.path.relpath(error.filename, folder), f"a folder that cannot be read: {error.strerror}"))

    names = []
    for place, folders, files in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        names += [(Path(place) / name).relative_to(folder).as_posix() for name in files if not name.startswith(".")]
    return sorted(names)


def printable(name: str) -> str:
    """The name with control characters and bytes that are not UTF-8 replaced by an underscore."""
    return "".join("_" if not char.isprintable() or 0xD800 <= ord(char) <= 0xDFFF else char for char in name)


def _safe_name(name: str, taken: set[str]) -> str:
    """A printable name that none of `taken` has, also where letters' case does not count; enters it there."""
    safe = printable(name)
    stem, dot, suffix = safe.rpartition(".")
    number = 1
    while safe.casefold() in taken:
        number += 1
        safe = f"{stem or suffix}_{number}{dot}{suffix if stem else ''}"
    taken.add(safe.casefold())
    return safe


def list_collections(root: Path) -> list[dict[str, Any]]:
    """The checked descriptions of all collections, sorted by name; [] when there is no data folder."""
    folder = root / layout.DATA
    if not folder.is_dir():
        return []
    return [describe(place) for place in sorted(folder.iterdir()) if place.is_dir() and not place.name.startswith(".")]


def check(root: Path, progress: Progress | None = None) -> list[Report]:
    """Decode every file of every collection; the reports name what is refused."""
    reports = []
    for about in list_collections(root):
        folder = root / layout.DATA / about["name"] / PICTURES
        report = Report(about["name"])
        names = _files(folder, report.refused)
        for number, name in enumerate(names, 1):
            try:
                _read(folder / name, folder, about["domain"])
                report.good += 1
            except Refused as error:
                report.refused.append((name, error.reason))
            if progress:
                progress(f"checking {about['name']}", number, len(names))
        missing = sorted(set(about.get("pictures", {})) - set(names))
        report.refused += [(name, "named in collection.json but not there") for name in missing]
        reports.append(report)
    return reports


def describe(folder: Path) -> dict[str, Any]:
    """collection.json of a collection's folder, checked; every mistake in it is a `UserError`."""
    path = folder / DESCRIPTION
    if not path.is_file():
        raise UserError(f"{folder} has no {DESCRIPTION}; add pictures with `restore-ml data add NAME PATH`.")
    about = read_json(path)
    if not isinstance(about, dict) or about.get("name") != folder.name:
        raise UserError(f"{path} must be a mapping whose name is {folder.name!r}.")
    if not NAME.fullmatch(folder.name) or folder.name == "none":
        raise UserError(f"The folder {str(folder)!r} has no valid collection name (small letters, digits, - and _).")
    for key, allowed in (("role", ROLES), ("domain", DOMAINS), ("synthetic", (True, False))):
        _one_of(about.get(key), allowed, f"{key} in {path}")
    for key in ("source", "licence"):
        if not _is_text(about.get(key)):
            raise UserError(f"{key} in {path} must be a text; write 'not stated' if it is not known.")
    for key in ("pictures", "refused", "reserved"):
        if not isinstance(about.setdefault(key, {}), dict):
            raise UserError(f"{key} in {path} must be a mapping by file.")
    _check_entries(about, path)
    return about


def _check_entries(about: dict[str, Any], path: Path) -> None:
    """What collection.json says by file."""
    for name, facts in about["pictures"].items():
        if not isinstance(facts, dict) or facts.get("split", "train") not in SPLITS:
            raise UserError(f"The split of {name!r} in {path} must be one of {', '.join(SPLITS)}.")
        for key, value in facts.items():
            if not _is_text(value):
                raise UserError(f"{key} of {name!r} in {path} is {shown(value)}; it must be a text.")
    for name, reason in about["refused"].items():
        if not _is_text(reason):
            raise UserError(f"The reason for {name!r} under refused in {path} is {shown(reason)}; it must be a text.")
    for name, value in about["reserved"].items():
        try:
            likeness.Look.from_json(value)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise UserError(f"{name!r} under reserved in {path} is {shown(value)}; it must hold a phash and a "
                            "thumbnail, as `restore-ml data init` writes them.") from None


def _is_text(value: Any) -> bool:
    """Whether it is a text that has something to see and that UTF-8 can hold."""
    return isinstance(value, str) and bool(value.strip()) and not any(0xD800 <= ord(char) <= 0xDFFF for char in value)


def _new_target(root: Path, name: str) -> Path:
    if not NAME.fullmatch(name) or name == "none":
        raise UserError(f"{name!r} is no name for a collection: use small letters, digits, - and _ (at most 63, not "
                        "'none', a letter or digit first).")
    target = root / layout.DATA / name
    if os.path.lexists(target):
        raise UserError(f"There is a collection {name!r} already ({target}); take another name or remove it first.")
    return target


def _one_of(value: Any, allowed: tuple[Any, ...], what: str) -> None:
    if value not in allowed:
        raise UserError(f"{what} is {shown(value)}; it must be one of {', '.join(map(str, allowed))}.")


@contextmanager
def incoming(root: Path) -> Iterator[Path]:
    """A temporary folder on the same disk as data/ but outside it; whatever is left in it is removed at the end."""
    (root / layout.STATE).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="incoming-", dir=root / layout.STATE) as name:
        yield Path(name) / "collection"


def put_in_place(folder: Path, target: Path) -> None:
    """Flush a finished folder to disk and rename it to `target`: readers see all of it or nothing."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    os.rename(folder, target)
    sync_folder(target.parent)
