"""Public layouts of sets of faces whose lists, not folders, say who is who and where the landmarks are.

- `celeba`: img_align_celeba with list_attr_celeba, list_landmarks_align_celeba, identity_CelebA and list_eval_partition
  (.txt as published or .csv); landmarks of the pictures before alignment (list_landmarks_celeba) are not for these.
- `helen`: pictures with landmarks in `.pts` files beside them (iBUG, counted from 1) or in text files that begin with
  the picture's name (annotation/*.txt); testnames.txt says what is tested on.
- `fsrnet`: *_HR beside *_LR_8x; the HR pictures are taken.
Where nobody says who is shown, each picture counts as a person of its own, and the note says so. ORL, LFW and others
with a folder for each person need no layout.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from restore_ml.data.arranging import Folders, Table, folder_name, named, read_lines, read_table
from restore_ml.data.person_folders import write_annotations
from restore_ml.data.pictures import PROMISING, Refused
from restore_ml.data.public_layouts import Arranged, Arranging

_OWN = "Nobody says who is shown: each picture counts as a person of its own."
_PARTS = {"0": "train", "1": "validation", "2": "test"}
_ALIGNED = re.compile(r"(?:.*/)?img_align_celeba[^/]*/(?:.*/)?[^/]+\.(?:jpg|png)", re.IGNORECASE | re.DOTALL)
_HR = re.compile(r"(?:.*/)?(?P<set>[^/]+)_HR/[^/]+", re.DOTALL)


def _celeba(source: Path, files: Sequence[str], role: str, target: Path) -> Arranged:
    into = Folders(source, target, role)
    pictures = [file for file in files if _ALIGNED.fullmatch(file)]
    tables = {key: _table(into, files, key, f"{name}.txt", f"{name}.csv") for key, name in (
        ("person", "identity_CelebA"), ("attributes", "list_attr_celeba"),
        ("landmarks", "list_landmarks_align_celeba"), ("side", "list_eval_partition"))}
    left_out = 0
    for file in pictures:
        try:
            person, split, annotations = _row(PurePosixPath(file), tables)
        except Refused as error:
            into.refuse(file, error.reason)
            continue
        if not into.takes(split):
            left_out += 1
        elif into.put(person, {PurePosixPath(file).name: file}, split) and annotations:
            write_annotations(target / folder_name(person) / f"{PurePosixPath(file).stem}.json", annotations)
    names = {PurePosixPath(file).name for file in pictures}
    strangers = len({name for table in tables.values() if table for name in table.rows} - names)
    more = f" {left_out} of its other splits are not." if left_out else ""
    more += f" Its lists name {strangers} pictures that are not there." if strangers else ""
    more += "" if tables["person"] else f" {_OWN}"
    return into.done(f"Read as CelebA: aligned pictures with what its lists say of them are taken.{more}")


def _table(into: Folders, files: Sequence[str], key: str, *names: str) -> Table | None:
    """The list of one of these names; None where there is none. Where one cannot be read, pictures go without their
    attributes or landmarks, but not without knowing who is shown and on which side."""
    file = named(files, *names)
    if file is None:
        return None
    try:
        return read_table(into.source, file)
    except Refused as error:
        into.refuse(file, error.reason)
        return Table() if key in ("person", "side") else None


def _row(file: PurePosixPath, tables: dict[str, Table | None]) -> tuple[str, str, dict[str, Any]]:
    """The person, the split and the annotations of a picture, as the lists have them."""
    cells: dict[str, list[str]] = {}
    for key, table in tables.items():
        if table is not None:
            if file.name in table.twice:
                raise Refused(f"the list of its {key} names it twice")
            if file.name not in table.rows:
                raise Refused(f"the list of its {key} does not name it")
            cells[key] = table.rows[file.name]
    annotations: dict[str, Any] = {}
    if "attributes" in cells:
        names = tables["attributes"].columns  # type: ignore[union-attr]
        if len(names) != len(cells["attributes"]):
            raise Refused(f"the list of its attributes gives {len(cells['attributes'])} values for {len(names)} names")
        annotations["attributes"] = dict(zip(names, _numbers(cells["attributes"], "attributes"), strict=True))
    if "landmarks" in cells:
        values = _numbers(cells["landmarks"], "landmarks")
        if len(values) != 10:
            raise Refused(f"the list of its landmarks gives {len(values)} numbers, not 10")
        annotations["landmarks"] = [values[start:start + 2] for start in range(0, 10, 2)]
    side = cells.get("side", [])
    if side and side[0] not in _PARTS:
        raise Refused(f"its side is {side[0]!r}; it must be 0, 1 or 2")
    if "person" in cells and len(cells["person"]) != 1:
        raise Refused("the list of its person gives no one number")
    return (cells["person"][0] if "person" in cells else file.stem), _PARTS[side[0]] if side else "", annotations


def _numbers(cells: Sequence[str], what: str) -> list[float]:
    """The cells as numbers, whole ones as they stand."""
    try:
        return [int(cell) if re.fullmatch(r"[+-]?\d+", cell) else float(cell) for cell in cells]
    except ValueError:
        raise Refused(f"its {what} are no numbers: {' '.join(cells)[:40]!r}") from None


def _helen(source: Path, files: Sequence[str], role: str, target: Path) -> Arranged:
    into = Folders(source, target, role)
    texts = {file for file in files if file.lower().endswith((".pts", ".txt"))}
    by_name = {PurePosixPath(file).with_suffix("").as_posix(): file for file in texts if file.lower().endswith(".pts")}
    by_stem: dict[str, str] = {}
    lists = {"testnames.txt", "trainnames.txt"}
    for file in sorted(texts - set(by_name.values())):
        if PurePosixPath(file).name not in lists and (lines := _lines(into, file)):
            by_stem[PurePosixPath(lines[0]).stem] = file
    tests = named(files, "testnames.txt")
    try:
        tested = list(read_lines(source, tests).values()) if tests else []
    except Refused as error:
        into.refuse(tests or "", f"{error.reason}: it says what is tested on, so nothing is taken without it")
        return into.done("Read as Helen: nothing is taken.")
    left_out = without = 0
    for file in (file for file in files if PurePosixPath(file).suffix.lower() in PROMISING):
        path = PurePosixPath(file)
        text = by_name.get(path.with_suffix("").as_posix()) or by_stem.get(path.stem)
        split = "" if not tested else "test" if path.stem in tested or path.name in tested else "train"
        if not into.takes(split):
            left_out += 1
            continue
        try:
            points = _points(source, text) if text else None
        except Refused as error:
            into.refuse(file, f"{text}: {error.reason}")
            continue
        without += points is None
        if into.put(path.with_suffix("").as_posix(), {path.name: file}, split) and points:
            write_annotations(target / folder_name(path.with_suffix("").as_posix()) / f"{path.stem}.json",
                        {"landmarks": points})
    more = f" {left_out} of the other split are not." if left_out else ""
    more += f" {without} have no landmarks." if without else ""
    return into.done(f"Read as Helen: pictures with their landmarks are taken.{more} {_OWN}")


def _lines(into: Folders, file: str) -> list[str]:
    try:
        return list(read_lines(into.source, file).values()) if file else []
    except Refused as error:
        into.refuse(file, error.reason)
        return []


def _points(source: Path, file: str) -> list[list[float]]:
    """The landmarks of a text file, counted from 0: a .pts file's own are counted from 1."""
    lines = list(read_lines(source, file).values())
    if file.lower().endswith(".pts"):
        body = [line for line in lines if line not in ("{", "}") and ":" not in line]
        stated = next((line.partition(":")[2].strip() for line in lines if line.startswith("n_points")), str(len(body)))
        if stated != str(len(body)):
            raise Refused(f"{len(body)} landmarks where it says {stated}")
        return [[number - 1 for number in _pair(line)] for line in body]
    return [_pair(line) for line in lines[1:]]


def _pair(line: str) -> list[float]:
    numbers = _numbers(line.replace(",", " ").split(), "landmarks")
    if len(numbers) != 2:
        raise Refused(f"no x and y: {line[:40]!r}")
    return numbers


def _shows_helen(files: Sequence[str]) -> bool:
    pictures = {PurePosixPath(file).with_suffix("").as_posix() for file in files
                if PurePosixPath(file).suffix.lower() in PROMISING}
    return any((file.lower().endswith(".pts") and PurePosixPath(file).with_suffix("").as_posix() in pictures)
               or re.fullmatch(r"(?:.*/)?annotation/\d+\.txt", file) for file in files)


def _fsrnet(source: Path, files: Sequence[str], role: str, target: Path) -> Arranged:
    into = Folders(source, target, role)
    taken = [file for file in files if _HR.fullmatch(file) and PurePosixPath(file).suffix.lower() in PROMISING]
    for file in taken:
        path = PurePosixPath(file)
        into.put(path.with_suffix("").as_posix(), {path.name: file})
    return into.done(f"Read as FSRNet's sets: the {len(taken)} HR pictures are taken, {len(files) - len(taken)} other "
                     f"files are not. {_OWN}")


def _shows_fsrnet(files: Sequence[str]) -> bool:
    sets = {match["set"] for file in files if (match := _HR.fullmatch(file))}
    return any(re.fullmatch(rf"(?:.*/)?{re.escape(name)}_LR_8x/[^/]+", file) for name in sets for file in files)


LAYOUTS = (
    Arranging("celeba", lambda files: any(_ALIGNED.fullmatch(file) for file in files), _celeba),
    Arranging("fsrnet", _shows_fsrnet, _fsrnet),
    Arranging("helen", _shows_helen, _helen))
