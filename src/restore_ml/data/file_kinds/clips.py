"""Clips: a film, or a folder of frames."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from restore_ml.data import films, frame_folders
from restore_ml.data.file_kinds.kind import FileKind, Form, Read, Refused, ending, size_in_words
from restore_ml.data.pictures import MAX_PIXELS

CODINGS = {".mp4": "mp4v", ".avi": "FFV1"}
"""What films are written in: MPEG-4, which loses a little, and FFV1, which loses nothing."""
USUAL = 25.0
"""Frames a second where nobody says."""


@dataclass(frozen=True)
class Film:
    """Frames a second of a film, and the names of a folder's frames."""

    rate: float = USUAL
    names: tuple[str, ...] = ()


class Clip(FileKind):
    """`value`: T x H x W x 3 uint8 RGB, at most MAX_PIXELS in all frames together. `origin`: its `Film`.

    A film is read whole, whatever scenes it has, and refused where it breaks off. The frames of a folder are ordered by
    their numbers, none of which may be missing (`restore_ml.data.frame_folders`).
    """

    name = "clip"
    what = "an .mp4, .mov, .avi or .mpg film, or a folder of frames"
    reads = films.SUFFIXES | films.UNREAD
    writes = {".mp4": "MPEG-4", ".avi": "FFV1", "": "PNG frames"}  # noqa: RUF012 - a constant of its class
    folders = True

    def read(self, path: Path, within: Path | None = None) -> Read:
        """A film or a folder."""
        if not path.is_dir():
            return _film(path, within)
        names = frame_folders.numbered(file.name for file in path.iterdir() if frame_folders.is_frame(file.name))
        if not names:
            raise Refused("a folder without frames: it needs PNG files that are numbered")
        _, gaps = frame_folders.runs(names)
        if gaps:
            raise Refused(frame_folders.gap_in_words(*gaps[0]).removesuffix(", so the clip is cut there"))
        first = frame_folders.read_frames(path, [next(iter(names.values()))], within)
        _check_total(len(names), *first.shape[1:3])
        frames = frame_folders.read_frames(path, list(names.values()), within)
        return Read(_colour(frames), Film(names=tuple(names.values())))

    def decode(self, data: bytes, suffix: str = "") -> Read:
        """A film's bytes; OpenCV reads films from files alone, so they are written to one for that time."""
        with _as_file(data, suffix) as path:
            return _film(path, None)

    def pixels(self, data: bytes) -> tuple[int, str]:
        """Of all frames that the header promises."""
        with _as_file(data, "") as path:
            films.frames(path, 0, 0)  # refuses what is no film
            count, height, width, _ = _header(path)
        if count < 1:
            raise Refused("a film whose header does not say how many frames it has: save it as MP4")
        return count * height * width, f"{count} frames of {width} x {height} pixels"

    def misfit(self, one: Read, other: Read) -> str | None:
        """Clips that belong together have frames of one number and size."""
        return None if one.value.shape == other.value.shape else (
            f"it has {len(one.value)} frames of {size_in_words(one.value.shape[1:])}, the other one {len(other.value)} "
            f"of {size_in_words(other.value.shape[1:])}")

    def encode(self, value: np.ndarray, form: Form) -> bytes:
        """A film. Its sides are even: the last row or column is repeated where they are not."""
        import cv2

        frames = np.pad(value, [(0, 0), (0, value.shape[1] % 2), (0, value.shape[2] % 2), (0, 0)], "edge")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"film{form.ending}"
            size = frames.shape[2], frames.shape[1]
            rate = form.origin.rate if isinstance(form.origin, Film) else USUAL
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*CODINGS[form.ending]), rate, size)
            if not writer.isOpened():
                raise ValueError(f"OpenCV here cannot write {form.ending} films; name a folder for the frames.")
            for frame in frames:
                writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
            writer.release()
            return path.read_bytes()

    def frames(self, value: np.ndarray, form: Form) -> Iterator[tuple[str, bytes]]:
        """The files of a folder of frames: names, which are numbered from 0, and bytes of PNG."""
        from restore_ml.data.file_kinds.pictures import PICTURE

        digits = max(4, len(str(len(value) - 1)))
        for number, frame in enumerate(value):
            yield f"{number:0{digits}d}.png", PICTURE.encode(frame, Form(".png"))

    def sides(self, value: np.ndarray) -> tuple[int, int]:
        """Of a frame or slice."""
        return value.shape[1], value.shape[2]

    def told(self, value: np.ndarray) -> str:
        """Frames and their size."""
        return f"{len(value)} frames of {size_in_words(value.shape[1:])} pixels"

    def remarks(self, form: Form) -> str:
        """That MPEG-4 loses something."""
        return " MPEG-4 loses a little; .avi (FFV1) or a folder of frames keeps every value." if (
            form.ending == ".mp4") else ""


def faster(clip: Read, factor: float) -> Any:
    """The origin of a result with `factor` times as many frames in the same time as the clip."""
    return Film(clip.origin.rate * factor) if isinstance(clip.origin, Film) else clip.origin


def _film(path: Path, within: Path | None) -> Read:
    """A film's frames, one after the other, each counted before the next is read."""
    first = films.frames(path, 0, 0, within)
    promised, _, _, rate = _header(path)
    _check_total(promised, *first.shape[1:3])
    frames = [first[0]]
    while promised < 1 or len(frames) < promised:
        try:
            frames.append(films.frames(path, len(frames), len(frames), within)[0])
        except Refused:
            break
        _check_total(len(frames), *first.shape[1:3])
    if len({frame.shape for frame in frames}) > 1:
        raise Refused("its frames are not of one size")
    if len(frames) < promised:
        raise Refused(f"truncated: the film breaks off at frame {len(frames)} of {promised}")
    return Read(np.stack(frames), Film(rate))


def _header(path: Path) -> tuple[int, int, int, float]:
    """Frames (0: not known), height, width and frames a second as the header of a film says, which `films` has opened
    before."""
    import cv2

    capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    values = [capture.get(what) for what in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FRAME_HEIGHT,
                                             cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FPS)]
    capture.release()
    guessed = ending(path.name) in (".mpg", ".mpeg")  # their headers do not say how many frames there are
    rate = values[3] if 0.1 <= values[3] <= 1000 else USUAL
    return 0 if guessed else max(0, int(values[0])), int(values[1]), int(values[2]), rate


def _check_total(count: int, height: int, width: int) -> None:
    if count * height * width > MAX_PIXELS:
        raise Refused(f"too large: {count} frames of {width} x {height} are more than {MAX_PIXELS} pixels: cut it")


def _colour(frames: np.ndarray) -> np.ndarray:
    return np.repeat(frames, 3, axis=3) if frames.shape[3] == 1 else frames


@contextmanager
def _as_file(data: bytes, suffix: str) -> Iterator[Path]:
    """The bytes as a file, with the ending that they themselves promise."""
    own = ".avi" if data[:4] == b"RIFF" else ".mpg" if data[:3] == b"\0\0\1" else ".mp4"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"film{suffix or own}"
        path.write_bytes(data)
        yield path


CLIP = Clip()
