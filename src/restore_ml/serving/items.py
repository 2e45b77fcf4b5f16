"""What of a folder is restored as one: a file, a folder of frames, or a folder of files named as what they are for."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from restore_ml.data import folders
from restore_ml.data.file_kinds import CLIP, PICTURE, VOLUME, ending
from restore_ml.data.frame_folders import is_frame
from restore_ml.data.pictures import PROMISING
from restore_ml.serving import places
from restore_ml.tasks.photos import Exchange, Way


@dataclass(frozen=True)
class Job:
    """One of them: its name below the input folder, its output's name below the output folder, and its files by what
    they are for (of a plain picture: none, it is the file itself)."""

    source: str
    output: str
    files: Mapping[str, str] = field(default_factory=dict)


def pictures_in(folder: Path, without: list[Path], closed: list[str],
                excluded: Counter[str] | None = None) -> tuple[list[str], int]:
    """The names (sorted, with `/`) of the files below `folder` that promise a picture, and how many others there are.

    See `listed`.
    """
    files = listed(folder, without, closed, excluded)
    names = [name for name in files if Path(name).suffix.lower() in PROMISING]
    return names, len(files) - len(names)


def listed(folder: Path, without: list[Path], closed: list[str], excluded: Counter[str] | None = None) -> list[str]:
    """The files below `folder` (sorted, with `/`).

    Hidden files, thumbnails and bins of disks (`restore_ml.data.folders`) and what lies in the folders `without` do not
    count (`excluded` says how many of which); linked folders are not entered. Folders that cannot be read are added to
    `closed`.
    """
    listing = folders.walk(folder, without=without)
    closed += [str(folder / name) for name, _ in listing.closed]
    if excluded is not None:
        excluded.update(listing.excluded)
    return list(listing.files)


def items(photos: Exchange, files: Sequence[str], others: Iterable[str] = ()) -> tuple[list[Job], int]:
    """What of a folder's files is restored as one, in the order of names, and how many files are left over.

    `others`: what is given beside (a mask), by name.
    """
    found: dict[str, dict[str, str]] = {}
    by_folder: dict[str, list[str]] = {}
    for file in files:
        by_folder.setdefault(PurePosixPath(file).parent.as_posix(), []).append(file)
    left: list[str] = []
    for place, own in by_folder.items():
        named = photos.together(own) if place != "." else {}
        frames = [file for file in own if is_frame(file)] if place != "." else []
        if named:
            found[place] = named
            left += [file for file in own if file not in named.values()]
        elif len(frames) > 1 and (clip := _way(photos, others, lambda way: way.main.kind is CLIP)):
            found[place] = {clip.main.name: place}
            left += [file for file in own if file not in frames]
        else:
            left += own
    over = 0
    for file in left:
        way = _way(photos, others, lambda way, file=file: way.main.kind.promises(file))  # type: ignore[misc]
        if way is None or (photos.says_what_it_is and not way.main.required and not photos.name_of(file)):
            over += 1
        else:
            found[file] = {way.main.name if way.main.required else photos.name_of(file) or way.main.name: file}
    return _with_outputs(photos, {name: found[name] for name in sorted(found)}, others), over


def _way(photos: Exchange, others: Iterable[str], fits: Callable[[Way], bool]) -> Way | None:
    """The first way that `fits` and needs nothing beside its main file and `others`."""
    return next((way for way in photos.ways if fits(way) and way.takes({way.main.name, *others})), None)


def _with_outputs(photos: Exchange, found: Mapping[str, Mapping[str, str]], others: Iterable[str]) -> list[Job]:
    ways = {name: next(way for way in photos.ways if way.takes({*files, *others})) for name, files in found.items()}

    def suffix(name: str) -> str:
        kind = ways[name].gets[0].kind
        if kind is CLIP:
            return "" if found[name].get("clip") == name and not CLIP.promises(name) else next(iter(kind.writes))
        return ending(name) if kind is VOLUME and ending(name) in kind.writes else next(iter(kind.writes))

    def written(name: str, output: str) -> list[str]:
        return [path.as_posix() for path in places.of_results(ways[name], Path(output)).values()]

    return [Job(job.source, job.output, found[job.source]) for job in jobs([*found], suffix, written)]


def jobs(names: Sequence[str], suffix: Callable[[str], str] = lambda name: next(iter(PICTURE.writes)),
         written: Callable[[str, str], Sequence[str]] = lambda name, output: [output]) -> list[Job]:
    """`a.jpg` becomes `a.png`; where files of two would meet, also on disks that take A for a, each keeps its whole
    name (`a.jpg.png`), with a number where even that is taken. `suffix`: the ending of what becomes of a name;
    `written`: all files that are written of a name with that output (beside `a.png` there may be `a.labels.png`)."""
    wanted = {name: name[:len(name) - len(ending(name))] + suffix(name) for name in names}

    def files(name: str, output: str) -> set[str]:
        return {path.lower() for path in written(name, output)}

    count = Counter(path for name, output in wanted.items() for path in files(name, output))
    alone = {name: output for name, output in wanted.items() if all(count[path] == 1 for path in files(name, output))}
    taken = {path for name, output in alone.items() for path in files(name, output)}
    done = []
    for name in wanted:
        if name not in alone:
            numbers = (f"-{number}" if number > 1 else "" for number in itertools.count(1))
            outputs = (f"{name}{number}{suffix(name)}" for number in numbers)
            alone[name] = next(output for output in outputs if not files(name, output) & taken)
            taken |= files(name, alone[name])
        done.append(Job(name, alone[name]))
    return done
