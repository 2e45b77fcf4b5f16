"""Clips: a folder of frames or a film a record; long ones are cut into several."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from restore_ml.data import clip_layouts, films, frame_folders, likeness
from restore_ml.data.domain import Domain, Maker
from restore_ml.data.pictures import MAX_PIXELS, SUFFIXES, Refused

LONGEST, SHORTEST = 32, 3
"""Frames of a record."""
_PART = re.compile(r"(?P<first>\d{4,})-(?P<last>\d{4,})(?:_by(?P<by>[2-8]))?")
_NO_CLIPS = frozenset((".txt", ".md", ".json", ".csv", ".npy", ".xml", ".yaml", ".html", ".zip", ".wav", ".srt"))


class Clips(Domain):
    """`frames`: T x H x W x C uint8, 3 to 32 of them, sRGB; `flow`, where it is known: (T - 1) x H x W x 2 int16,
    (u, v) in 1/64 pixel from each frame to the next one (`frame_folders`).

    A folder of frames is one shot. It is cut where numbers are missing and into parts of nearly equal length; a film
    also where its scenes change. A part is named by its first and last frame: `walk/0001-0024` by the numbers of the
    files, `film.mp4/0030-0069` counted from 0, `film.mp4/0030-0069_by2` reduced to half its size. No record has more
    pixels than a picture may have.
    """

    name = "clips"
    what = "clips"
    counted = ("clips", "sources")
    suffixes = films.SUFFIXES | films.UNREAD | SUFFIXES
    main = "frames"
    layouts = clip_layouts.LAYOUTS

    def records(self, files: Sequence[str]) -> dict[str, list[str]]:
        """Films, and folders of frames with their flow. A picture in no folder, or beside such folders, stays a record
        of its own, which is refused by name."""
        records: dict[str, list[str]] = {file: [file] for file in files if films.is_film(Path(file))}
        places = {PurePosixPath(file).parent for file in files if frame_folders.is_frame(file)}
        outer = {PurePosixPath("."), *(above for folder in places for above in folder.parents)}
        for file in files:
            path = PurePosixPath(file)
            if path.parent in places - outer and (frame_folders.is_frame(file) or path.name == frame_folders.FLOW):
                records.setdefault(path.parent.as_posix(), []).append(file)
            elif path.parent in places and frame_folders.is_frame(file):
                records[file] = [file]
        return records

    def promises(self, record: str) -> bool:
        """Every folder of frames does; a file by its ending."""
        return Path(record).suffix.lower() not in _NO_CLIPS

    def group(self, record: str) -> str:
        """The film or folder."""
        path = PurePosixPath(record)
        part = _PART.fullmatch(path.name) and len(path.parts) > 1
        return (path.parent if part else path).as_posix()

    def parts(self, path: Path, within: Path | None = None) -> Sequence[str]:
        """Where a clip is cut; missing frames are parts of their own, which are refused."""
        if path.is_dir():
            names = _frame_names(path)
            first = frame_folders.read_frames(path, [next(iter(names.values()))], within)
            runs, gaps = frame_folders.runs(names)
            spans = [(run[start], run[end]) for run in runs
                     for start, end in films.pieces(0, len(run) - 1, _longest(first.size // first.shape[-1]))]
            spans += gaps
        elif path.suffix.lower() in SUFFIXES:
            return ()
        else:
            count, promised, pixels, cuts = films.scan(path, within)
            spans = films.cut(count, cuts, _longest(pixels))
            spans += [(count, min(promised, count + LONGEST) - 1)] if promised > count else []
        return [part_name(*item) for item in sorted(spans)] if len(spans) > 1 else ()

    def read(self, path: Path, within: Path | None = None) -> dict[str, np.ndarray]:
        """The frames, and the flow where a folder has one."""
        part = _PART.fullmatch(path.name) if path.parent.is_file() or not path.exists() else None
        holder = path.parent if part else path
        if holder.is_dir():
            return _read_folder(holder, part, within)
        if holder.suffix.lower() in SUFFIXES:
            raise Refused("a single picture; put the frames of each clip into a folder of their own")
        if part is None:
            count, promised, _, cuts = films.scan(holder, within)
            if count > LONGEST or cuts or promised > count:
                raise Refused(f"a film of {promised} frames, {count} of them whole, and {len(cuts) + 1} scenes, and "
                              "nothing says how it is cut: take it in with `restore-ml data add`")
            return _read_film(holder, 0, count - 1, 1, within)
        return _read_film(holder, int(part["first"]), int(part["last"]), int(part["by"] or 1), within)

    def luma(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """That of the first frame."""
        return likeness.luma(arrays["frames"][0])

    def from_rgb(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """Nine frames in which the picture moves to the left by a pixel each; its last column is repeated."""
        width = picture.shape[1]
        columns = [np.minimum(np.arange(width) + step, width - 1) for step in range(9)]
        return {"frames": np.stack([picture[:, column] for column in columns])}

    def embedded(self) -> dict[str, Maker]:
        """Films of installed packages and of the shelf, and photographs moved along a known path, on both sides."""
        from restore_ml.data.sources import clips

        return clips.makers()


def part_name(first: int, last: int, by: int = 1) -> str:
    """The name of a part.

    >>> part_name(30, 69), part_name(0, 5, 2)
    ('0030-0069', '0000-0005_by2')
    """
    return f"{first:04d}-{last:04d}" + (f"_by{by}" if by > 1 else "")


def _longest(pixels: int) -> int:
    """How many frames of so many pixels a record may have."""
    return max(SHORTEST, min(LONGEST, MAX_PIXELS // pixels))


def _check_length(count: int, least: int = SHORTEST) -> None:
    if count < least:
        raise Refused(f"too short: {count} frame{'s' if count != 1 else ''}, at least {least} are needed")
    if count > LONGEST:
        raise Refused(f"too long: {count} frames, at most {LONGEST} are read")


def _read_film(film: Path, first: int, last: int, by: int, within: Path | None) -> dict[str, np.ndarray]:
    _check_length(last - first + 1, 1)
    decoded = films.frames(film, first, last, within, by)  # what is missing is said before what is short
    _check_length(len(decoded))
    return {"frames": decoded}


def _frame_names(folder: Path) -> dict[int, str]:
    return frame_folders.numbered(file.name for file in folder.iterdir() if frame_folders.is_frame(file.name))


def _read_folder(folder: Path, part: re.Match[str] | None, within: Path | None) -> dict[str, np.ndarray]:
    """The frames of a folder, or of a part of it."""
    names = _frame_names(folder)
    numbers = list(names)
    if part is not None:
        if part["by"]:
            raise Refused("frames of a folder are not reduced")
        first, last = int(part["first"]), int(part["last"])
        numbers = [number for number in names if first <= number <= last]
        if not numbers:
            raise Refused(frame_folders.gap_in_words(first, last))
        if (numbers[0], numbers[-1]) != (first, last):
            raise Refused(frame_folders.gap_in_words(*((first, numbers[0] - 1) if numbers[0] != first
                                                       else (numbers[-1] + 1, last))))
    _, gaps = frame_folders.runs(numbers) if numbers else ([], [])
    if gaps:
        raise Refused(frame_folders.gap_in_words(*gaps[0]))
    _check_length(len(numbers))
    arrays = {"frames": frame_folders.read_frames(folder, [names[number] for number in numbers], within)}
    flow = folder / frame_folders.FLOW
    if flow.exists() or flow.is_symlink():
        whole = frame_folders.read_flow(flow, (len(names) - 1, *arrays["frames"].shape[1:3], 2), within)
        start = list(names).index(numbers[0])
        arrays["flow"] = np.ascontiguousarray(whole[start:start + len(numbers) - 1])
    return arrays


DOMAIN = Clips()
