"""Public layouts of scenes of two dates: pairs of files, EOPatch folders, and RICE's cloudy and clear pictures.

Each is copied into the domain's own form, a folder a record (`restore_ml.data.scene_files`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from restore_ml.data.pictures import Refused, read_bytes
from restore_ml.data.public_layouts import Arranged, Arranging, Found

_PAIR = re.compile(r"(?P<name>.+)_(?P<what>target|reference|mask)\.(?P<suffix>tiff?|npy)", re.IGNORECASE)
_RICE = re.compile(r"(?P<above>(?:.*/)?)(?P<side>cloud|label)/(?P<name>[^/]+)\.(?P<suffix>png)", re.IGNORECASE)
_REAL = re.compile(r"(?P<above>(?:.*/)?)(?P<name>[^/]+)_real_(?P<side>[AB])\.(?P<suffix>png)")
_PATCH = re.compile(r"(?P<above>(?:.*/)?)(?:data/[^/]+\.npy|mask/CLM\.npy)")


def _copied(source: Path, records: Mapping[str, Mapping[str, str]], target: Path, files: int, what: str,
            group: Callable[[str], str] = lambda record: "") -> Arranged:
    """Copy the files of each record (by their new names in its folder); what cannot be read is refused by its name."""
    out = Arranged()
    for record, members in sorted(records.items()):
        try:
            for new, file in sorted(members.items()):
                copy = target / record / new
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(read_bytes(source / file, source, most=None))
        except Refused as error:
            out.refused.append((file, error.reason))
            continue
        out.found.append(Found(record, group=group(record)))
        if beside := [file for new, file in sorted(members.items()) if "/" not in new]:
            out.names[record] = beside[-1]  # the target, where there is one
    taken = sum(map(len, records.values()))
    out.note = f"Read as {what}: {taken} files of {len(records)} are taken, {files - taken} other files are not."
    return out


def _pairs(source: Path, files: Sequence[str], role: str, target: Path) -> Arranged:
    """<name>_target, <name>_reference and perhaps <name>_mask, as .tif or .npy."""
    records: dict[str, dict[str, str]] = {}
    for file in files:
        if match := _PAIR.fullmatch(file):
            records.setdefault(match["name"], {})[f"{match['what'].lower()}.{match['suffix'].lower()}"] = file
    return _copied(source, records, target, len(files), "pairs of dates")


def _eopatch(source: Path, files: Sequence[str], role: str, target: Path) -> Arranged:
    """data/*.npy and mask/CLM.npy of each patch, each a place and so a group of its own; a patch that is itself the
    folder keeps the folder's name."""
    records: dict[str, dict[str, str]] = {}
    for file in files:
        if match := _PATCH.fullmatch(file):
            record = match["above"].rstrip("/") or source.resolve().name
            records.setdefault(record, {})[file.removeprefix(match["above"])] = file
    return _copied(source, records, target, len(files), "EOPatch folders", group=lambda record: record)


def _rice(source: Path, files: Sequence[str], role: str, target: Path) -> Arranged:
    """label/<name>.png (or <name>_real_B.png) is the target, cloud/<name>.png (or <name>_real_A.png) the other date.

    A method is given the target under a simulated cloud and as its reference the really cloudy picture.
    """
    records: dict[str, dict[str, str]] = {}
    for file in files:
        match = _RICE.fullmatch(file) or _REAL.fullmatch(file)
        if match:
            what = "target" if match["side"] in ("label", "B") else "reference"
            record = str(PurePosixPath(match["above"]) / match["name"])
            records.setdefault(record, {})[f"{what}.{match['suffix'].lower()}"] = file
    return _copied(source, records, target, len(files), "RICE's cloudy and clear pictures")


def _shows(pattern: re.Pattern[str]) -> Callable[[Sequence[str]], bool]:
    return lambda paths: any(pattern.fullmatch(path) for path in paths)


def _shows_rice(paths: Sequence[str]) -> bool:
    sides = {match["side"].lower() for path in paths if (match := _RICE.fullmatch(path) or _REAL.fullmatch(path))}
    return {"cloud", "label"} <= sides or {"a", "b"} <= sides


EOPATCH = Arranging("eopatch", _shows(re.compile(r"(?:.*/)?data/[^/]+\.npy")), _eopatch)
PAIRS = Arranging("pairs", _shows(_PAIR), _pairs)
RICE = Arranging("rice", _shows_rice, _rice)
