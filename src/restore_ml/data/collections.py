"""Collections: folders of pictures with a source and a licence, under data/.

data/<name>/collection.json says {name, role, domain, synthetic, source, licence} and, where they differ from that or
say more, `pictures` (by file: group, split, source, licence), `refused` (files that were left out, and why),
`reserved` (how photographs look of which only tiles are there: none of them may enter training) and `as_found` (true:
its pictures are damaged themselves, so that nobody knows their truth; they are looked at and never scored).
data/<name>/pictures/ holds the files; the domain says which of them make a record (mostly each one).
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from restore_ml.base import layout
from restore_ml.base.errors import UserError, shown
from restore_ml.base.files import read_json, sync_folder, write_json
from restore_ml.data import domains, folders, likeness
from restore_ml.data.copying import Progress, Report, copy_good, printable
from restore_ml.data.parts import expand
from restore_ml.data.pictures import Refused

DESCRIPTION, PICTURES = "collection.json", "pictures"
ARRANGED = "arranged"
ROLES, SPLITS = ("train", "test", "mixed"), ("train", "validation", "test")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def add(root: Path, name: str, path: Path, role: str = "test", source: str = "", licence: str = "",
        layout_name: str = "auto", domain: str = "photos", progress: Progress | None = None,
        exclude: Sequence[str] = (), as_found: bool = False) -> Report:
    """Copy the good records of the folder `path` to root/data/<name> and describe them; nothing is half added.

    Files are copied, not linked: a hard link would let an edit of the original change the collection (and DVC's cache)
    behind every check. Every copy is decoded once; broken ones are left out and named, in the report and in
    collection.json. Links to files within the folder are followed, links that lead out of it are refused, and linked
    folders are not entered. Hidden files, and what `exclude` and `folders.EXCLUDED` name, are left out and counted.
    `domain`: the kind of data, which knows the layouts; `as_found`: the pictures are damaged themselves.
    `UserError`: a bad or taken name, no such folder, domain or layout, no readable record in it.
    """
    target = _new_target(root, name)
    _one_of(role, ROLES, "role")
    if as_found and role != "test":
        raise UserError(f"{name} cannot have the role {role}: nothing is learned from pictures whose truth nobody "
                        "knows (as found).")
    kind = domains.get(domain)
    _one_of(layout_name, ("auto", "plain", *(item.name for item in kind.layouts)), f"layout of {domain}")
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"{str(path)!r} is not a folder; give a folder with {kind.what}.")
    if path.resolve().is_relative_to((root / layout.DATA).resolve()):
        raise UserError(f"{str(path)!r} lies in {layout.DATA} already; give a folder elsewhere.")
    listing = folders.walk(path, exclude)
    report = Report(name, refused=listing.closed, excluded=listing.excluded, what=kind.what)
    with incoming(root) as folder:
        arranged = kind.arrange(layout_name, path, listing.files, role, folder.parent / ARRANGED)
        if arranged is None:
            chosen, records, report.note = kind.select(layout_name, listing.files, role)
            described = copy_good(path, folder / PICTURES, records, kind, listing.files, report, progress)
        else:
            chosen, copied = arranged
            pictures, report.note = folder.parent / ARRANGED, copied.note
            described = copy_good(pictures, folder / PICTURES, copied.found, kind, folders.walk(pictures).files, report,
                                   progress)
            report.refused = sorted([(copied.names.get(file, file), reason) for file, reason in report.refused]
                                    + copied.refused)
        if not report.good:
            raise UserError(f"{str(path)!r} holds no readable {kind.what.removesuffix('s')}: {len(listing.files)} "
                            f"files. {report}")
        about = {"name": name, "role": role, "domain": domain, "synthetic": False, "source": source or "not stated",
                 "licence": licence or "not stated", "layout": chosen, "pictures": described,
                 "refused": {printable(file): reason for file, reason in report.refused},
                 **({"as_found": True} if as_found else {})}
        write_json(folder / DESCRIPTION, about)
        put_in_place(folder, target)
    return report


def list_collections(root: Path) -> list[dict[str, Any]]:
    """The checked descriptions of all collections, sorted by name; [] when there is no data folder."""
    folder = root / layout.DATA
    if not folder.is_dir():
        return []
    return [describe(path) for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]


def check(root: Path, progress: Progress | None = None) -> list[Report]:
    """Decode every record of every collection; the reports name what is refused."""
    reports = []
    for about in list_collections(root):
        folder, domain = root / layout.DATA / about["name"] / PICTURES, domains.get(about["domain"])
        listing = folders.walk(folder)
        report = Report(about["name"], refused=listing.closed, excluded=listing.excluded, what=domain.what)
        records = sorted(expand(domain.records(listing.files), about["pictures"]))
        for number, name in enumerate(records, 1):
            try:
                domain.read(folder / name, folder)
                report.good += 1
            except Refused as error:
                report.refused.append((name, error.reason))
            if progress:
                progress(f"checking {about['name']}", number, len(records))
        missing = sorted(set(about["pictures"]) - set(records))
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
    for key, allowed in (("role", ROLES), ("domain", domains.names()), ("synthetic", (True, False))):
        _one_of(about.get(key), allowed, f"{key} in {path}")
    for key in ("source", "licence"):
        if not _is_text(about.get(key)):
            raise UserError(f"{key} in {path} must be a text; write 'not stated' if it is not known.")
    for key in ("pictures", "refused", "reserved"):
        if not isinstance(about.setdefault(key, {}), dict):
            raise UserError(f"{key} in {path} must be a mapping by file.")
    _one_of(about.setdefault("as_found", False), (True, False), f"as_found in {path}")
    if about["as_found"] and about["role"] != "test":
        raise UserError(f"role in {path} must be test: nothing is learned from pictures whose truth nobody knows "
                        "(as_found).")
    _check_entries(about, path)
    return about


def _check_entries(about: dict[str, Any], path: Path) -> None:
    """What collection.json says by file."""
    for name, stated in about["pictures"].items():
        if not isinstance(stated, dict) or stated.get("split", "train") not in SPLITS:
            raise UserError(f"The split of {name!r} in {path} must be one of {', '.join(SPLITS)}.")
        for key, value in stated.items():
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
