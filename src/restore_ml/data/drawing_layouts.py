"""Public layouts of photos with sketches.

- `cufs` (CUFS, CUFSF): train_photos, train_sketches, test_photos, test_sketches, in a folder for each database or not;
  N.jpg of the photos belongs to N.jpg of the sketches, and each number is a person.
- `list`: text files with a line `photo||sketch||parsing||id` for each pair; the last two may be empty or left out. A
  parsing map is a picture of the labels, or a MATLAB file (`mat_files`), which becomes one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from restore_ml.data.arranging import Folders, folder_name, read_lines
from restore_ml.data.mat_files import read_parsing
from restore_ml.data.person_folders import write_picture
from restore_ml.data.pictures import PROMISING, Refused
from restore_ml.data.public_layouts import Arranged, Arranging

_CUFS = re.compile(r"(?P<base>(?:.*/)?)(?P<split>train|test)_(?P<kind>photos|sketches)/(?P<stem>[^/]+)\.[^./]+",
                   re.DOTALL)
_LIST = re.compile(r"(?:.*/)?[^/]*list[^/]*\.txt|(?:.*/)?(?:train|test)\.txt", re.IGNORECASE)


def _cufs(source: Path, files: Sequence[str], role: str, target: Path) -> Arranged:
    into = Folders(source, target, role)
    pairs: dict[tuple[str, str, str], dict[str, str]] = {}
    taken, twice = 0, []
    for file in files:
        match = _CUFS.fullmatch(file)
        if match is None or PurePosixPath(file).suffix.lower() not in PROMISING or not into.takes(match["split"]):
            continue
        pair = pairs.setdefault((match["base"], match["split"], match["stem"]), {})
        if match["kind"] in pair:
            twice.append((file, f"the same number as {pair[match['kind']]}"))
        pair.setdefault(match["kind"], file)
    for (base, split, stem), pair in pairs.items():
        missing = next((kind for kind in ("photos", "sketches") if kind not in pair), None)
        if missing:
            into.refuse(next(iter(pair.values())), f"{base}{split}_{missing} has no {stem}")
            continue
        photo, sketch = pair["photos"], pair["sketches"]
        names = {f"{stem}{PurePosixPath(photo).suffix}": photo, f"{stem}.sketch{PurePosixPath(sketch).suffix}": sketch}
        taken += into.put(f"{base}{split}_{stem}", names, split)
    for file, reason in twice:
        into.refuse(file, reason)
    return into.done(f"Read as CUFS: {taken} photos with their sketches; each number is a person.")


def _shows_cufs(files: Sequence[str]) -> bool:
    kinds = {(match["base"], match["split"], match["kind"]) for file in files if (match := _CUFS.fullmatch(file))}
    return any((base, split, "sketches") in kinds for base, split, kind in kinds if kind == "photos")


def _list(source: Path, files: Sequence[str], role: str, target: Path) -> Arranged:
    into, there = Folders(source, target, role), set(files)
    taken = 0
    for file in files:
        if not _LIST.fullmatch(file):
            continue
        split = next((side for side in ("train", "test") if side in PurePosixPath(file).stem.lower()), "")
        if not into.takes(split):
            continue
        try:
            lines = read_lines(source, file)
        except Refused as error:
            into.refuse(file, error.reason)
            continue
        for number, line in lines.items():
            try:
                person, pair, mat = _pair(line, PurePosixPath(file).parent, there)
            except Refused as error:
                into.refuse(f"{file}, line {number}", error.reason)
                continue
            if into.put(person, pair, split):
                taken += 1
                if mat:
                    _put_parsing(into, target / folder_name(person) / next(iter(pair)), mat)
    return into.done(f"Read as lists: {taken} photos with their sketches.")


def _put_parsing(into: Folders, photo: Path, mat: str) -> None:
    """Write the parsing map of a MATLAB file beside its photo; where it cannot be read the photo goes without."""
    try:
        write_picture(photo.with_name(f"{photo.stem}.parsing.png"), read_parsing(into.source / mat, into.source))
    except Refused as error:
        into.refuse(mat, error.reason)


def _pair(line: str, folder: PurePosixPath, there: set[str]) -> tuple[str, dict[str, str], str]:
    """The person, the files of a line by their names in the person's folder, and the MATLAB file of a parsing map."""
    cells = [cell.strip() for cell in line.split("||")]
    if not 2 <= len(cells) <= 4:
        raise Refused(f"{len(cells)} parts between ||, where photo||sketch||parsing||id are meant")
    photo, sketch, parsing, person = (*cells, "", "")[:4]
    files, mat = {}, ""
    stem = PurePosixPath(photo).stem
    for tag, name in (("", photo), (".sketch", sketch), (".parsing", parsing)):
        if not name and tag == ".parsing":
            continue
        file = next((file for file in ((folder / name).as_posix(), name) if file in there), None)
        if file is None:
            raise Refused(f"{name!r} is not there")
        if tag == ".parsing" and file.lower().endswith(".mat"):
            mat = file
        else:
            files[f"{stem}{tag}{PurePosixPath(file).suffix}"] = file
    return person or PurePosixPath(photo).with_suffix("").as_posix(), files, mat


LAYOUTS = (Arranging("cufs", _shows_cufs, _cufs),
           Arranging("list", lambda files: any(_LIST.fullmatch(file) for file in files), _list))
