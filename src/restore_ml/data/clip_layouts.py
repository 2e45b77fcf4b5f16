"""How public sets of clips lay out their folders: REDS, Vid4, Vimeo's septuplets and triplets, a folder a film."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from restore_ml.data.frame_folders import is_frame
from restore_ml.data.pictures import Refused, read_bytes
from restore_ml.data.public_layouts import Arranged, Arranging, Found, Layout

_REDS = re.compile(r"(?:.*/)?(?P<split>train|val|test)_(?P<kind>\w+)/(?P<clip>\d{3})/\d{8}\.\w+", re.DOTALL)
_SHARP = ("sharp", "orig")
_VID4 = frozenset(("calendar", "city", "foliage", "walk"))
_VIMEO = re.compile(r"(?:.*/)?sequences/(?P<clip>\d{5}/\d{4})/im\d+\.\w+", re.DOTALL)
_LIST = re.compile(r"(?:.*/)?(?:sep|tri)_(?P<split>train|test)list\.txt", re.DOTALL)
_TRUE = ("gt", "hr", "g", "original", "originals", "")
_SPLITS = {"train": "train", "val": "validation", "test": "test"}


def _folder(path: str) -> str:
    return PurePosixPath(path).parent.as_posix()


def _note(name: str, chosen: list[Found], paths: Sequence[str], taken: Callable[[str], bool], what: str) -> str:
    left = sum(not taken(path) for path in paths)
    return f"Read as {name}: the {len(chosen)} {what} are taken, {left} other files are not."


def _reds(paths: Sequence[str], role: str) -> tuple[list[Found], str]:
    """The sharp clips (`train_sharp`, `val_sharp`): for `train` those of both, of which `val` validates; for `test`
    those of `val` and, in a set that has none, of `train`."""
    clips = {_folder(path): match for path in paths
             if is_frame(path) and (match := _REDS.fullmatch(path)) and match["kind"] in _SHARP}
    there = {match["split"] for match in clips.values()}
    wanted = {"train": ("train", "val"), "mixed": ("train", "val", "test")}.get(
        role, ("val", "test") if there & {"val", "test"} else ("train",))
    # `train` is left open where the set has no val folder, so that a share of it becomes validation
    stated = {split: _SPLITS[split] if split != "train" or "val" in there else "" for split in _SPLITS}
    chosen = [Found(record, "" if role == "test" else stated[match["split"]], f"{match['split']} {match['clip']}")
             for record, match in sorted(clips.items()) if match["split"] in wanted]
    taken = {item.path for item in chosen}
    return chosen, _note("REDS", chosen, paths, lambda path: _folder(path) in taken, "sharp clips")


def _vid4_clip(path: str) -> tuple[str, str]:
    """The name of the clip and what kind of frames a file of Vid4 is one of; empty for another file."""
    parts = PurePosixPath(path).parts
    if len(parts) < 2 or not is_frame(path) or parts[-2].lower() not in _VID4:
        return "", ""
    return parts[-2].lower(), parts[-3].lower() if len(parts) > 2 else ""


def _shows_vid4(paths: Sequence[str]) -> bool:
    return len({name for name, kind in map(_vid4_clip, paths) if name and kind in _TRUE}) >= 2


def _vid4(paths: Sequence[str], role: str) -> tuple[list[Found], str]:
    """The true frames of its four clips, not those that are degraded or restored."""
    clips = {_folder(path): name for path in paths for name, kind in [_vid4_clip(path)] if name and kind in _TRUE}
    chosen = [Found(record, group=name) for record, name in sorted(clips.items())]
    return chosen, _note("Vid4", chosen, paths, lambda path: _folder(path) in clips, "clips of true frames")


def _vimeo(source: Path, paths: Sequence[str], role: str, target: Path) -> Arranged:
    """The clips that the list of the role names (`sep_trainlist.txt`, `sep_testlist.txt`), or of both for `mixed`.

    A list that is not there leaves open which clips are whose; then all are taken but those that the other list names.
    """
    target.mkdir(parents=True, exist_ok=True)
    out = Arranged()
    lists = {match["split"]: _listed(source, path, out) for path in paths if (match := _LIST.fullmatch(path))}
    stated = {clip: split for split in ("train", "test") for clip in lists.get(split, ())}
    there: dict[str, list[str]] = {}
    for path in paths:
        if match := _VIMEO.fullmatch(path):
            there.setdefault(match["clip"], []).append(path)
    wanted = {"train": ("train",), "test": ("test",)}.get(role, ("train", "test"))
    listed = all(split in lists for split in wanted)
    for clip, files in sorted(there.items()):
        if (listed or clip in stated) and stated.get(clip) not in wanted:
            continue
        taken = False
        for file in files:
            copy = target / clip / PurePosixPath(file).name
            try:
                data = read_bytes(source / file, source)
            except Refused as error:
                out.refused.append((file, error.reason))
                continue
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(data)
            out.names[copy.relative_to(target).as_posix()] = file
            taken = True
        if taken:
            out.found.append(Found(clip, "test" if role == "mixed" and stated.get(clip) == "test" else "", clip))
            out.names[clip] = _folder(files[0])
    missing = sorted(clip for clip, split in stated.items() if split in wanted and clip not in there)
    out.refused += [(f"sequences/{clip}", f"in the list of {stated[clip]} clips but not there") for clip in missing]
    out.note = f"Read as Vimeo: {len(out.found)} clips are taken, {len(there) - len(out.found)} others are not" + (
        "." if listed else "; there is no list that says which of them are for training.")
    return out


def _listed(source: Path, path: str, out: Arranged) -> list[str]:
    """The clips that a list names."""
    try:
        lines = read_bytes(source / path, source).decode("utf-8-sig", "replace").split()
    except Refused as error:
        out.refused.append((path, error.reason))
        return []
    return lines


def _folders(paths: Sequence[str], role: str) -> tuple[list[Found], str]:
    """Every clip; those in one folder of the first level are of one group, which is never split."""
    from restore_ml.data.domains.clips import DOMAIN

    records = [PurePosixPath(record) for record in DOMAIN.records(paths)]
    chosen = [Found(path.as_posix(), group=path.parts[0]) for path in records]
    groups = {item.group for item in chosen}
    return chosen, f"Read as a folder for each of {len(groups)} groups, none of which is split."


REDS = Layout("reds", lambda paths: any(is_frame(path) and _REDS.fullmatch(path) for path in paths), _reds)
VID4 = Layout("vid4", _shows_vid4, _vid4)
FOLDERS = Layout("folders", lambda paths: False, _folders)
VIMEO = Arranging("vimeo", lambda paths: any(map(_VIMEO.fullmatch, paths)), _vimeo)
LAYOUTS = (REDS, VIMEO, VID4, FOLDERS)
