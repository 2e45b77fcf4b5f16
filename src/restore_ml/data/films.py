"""Films: video files, decoded forwards by OpenCV on one thread, and where their scenes change.

A film stays the file it was. H.264 is decoded to the same luma and chroma everywhere, but the step from there to RGB
(and all of MPEG-1) may end in another last bit on another processor, so frames stored by one machine could not be
compared with those of another: files are, and reading decodes them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from restore_ml.data.likeness import luma
from restore_ml.data.pictures import MAX_PIXELS, MIN_SIDE, Refused, read_bytes

SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".avi", ".mpg", ".mpeg"))
"""Endings of films that are read."""
UNREAD = frozenset((".mkv", ".webm", ".wmv", ".flv", ".ts", ".mts", ".m2ts", ".3gp", ".ogv", ".vob", ".y4m", ".yuv"))
"""Endings of films that are refused by name."""
_ATOMS = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")
_THUMBNAIL = (64, 48)
_REACH, _LEAST = 4, 12


def is_film(path: Path) -> bool:
    """Whether the name promises a film."""
    return path.suffix.lower() in SUFFIXES | UNREAD


def frames(path: Path, first: int, last: int, within: Path | None = None, by: int = 1) -> np.ndarray:
    """The frames `first` to `last` (counted from 0, both included) as T x H x W x 3 uint8 RGB.

    `by`: each is reduced by this whole number, see `reduced`. Reading the parts of a film in their order decodes it
    once.

    Raises:
        Refused: no film that can be decoded, too small or too large, or it ends before `last`.
    """
    film = _open(path, within)
    if film.next > first:
        _close()
        film = _open(path, within)
    decoded = []
    for frame in film.read(first, last):
        decoded.append(reduced(frame, by))
        if min(decoded[0].shape[:2]) < MIN_SIDE:
            height, width = decoded[0].shape[:2]
            raise Refused(f"too small: {width} x {height}, the shorter side must be at least {MIN_SIDE}")
    if len(decoded) < last - first + 1:
        raise Refused(f"the film breaks off at frame {max(0, film.next - 1)}")
    return np.stack(decoded)


def scan(path: Path, within: Path | None = None) -> tuple[int, int, int, list[int]]:
    """Decode a film once: how many frames it has and how many it promises, pixels of a frame, and where scenes change.

    Of a film that breaks off the last frame does not count, for half of it may be missing. `Refused` where nothing of
    it can be decoded.
    """
    _close()
    film, thumbnails, pixels = _open(path, within), [], 0
    for frame in film.read(0, None):
        pixels = frame.shape[0] * frame.shape[1]
        grey = Image.fromarray(luma(frame)).resize(_THUMBNAIL, Image.Resampling.BOX)
        thumbnails.append(np.asarray(grey).astype(np.int64))
    promised = film.promised
    _close()
    if promised > len(thumbnails):
        thumbnails = thumbnails[:-1]
    if not thumbnails:
        raise Refused("no frame of it can be decoded")
    return len(thumbnails), max(promised, len(thumbnails)), pixels, scene_changes(np.stack(thumbnails))


def scene_changes(thumbnails: np.ndarray) -> list[int]:
    """The numbers of the frames that begin a new scene, from T x h x w int64 luma.

    A hard cut: the mean difference of two frames exceeds half as much again as the largest among the four before and
    the four behind it, by 12 grey levels. Fast motion raises its neighbours as well, and a flash comes in pairs.

    >>> still, other = np.zeros((5, 2, 2), np.int64), np.full((5, 2, 2), 90)
    >>> scene_changes(np.concatenate([still, other]))
    [5]
    """
    sums = np.abs(np.diff(thumbnails, axis=0)).sum(axis=(1, 2)).tolist()
    area = thumbnails.shape[1] * thumbnails.shape[2]
    near = ([*sums[max(0, i - _REACH):i], *sums[i + 1:i + 1 + _REACH]] for i in range(len(sums)))
    return [i + 1 for i, around in enumerate(near) if 2 * sums[i] > 3 * max(around, default=0) + 2 * _LEAST * area]


def pieces(first: int, last: int, longest: int) -> list[tuple[int, int]]:
    """The numbers `first` to `last` in as few runs of nearly equal length as keep to `longest`.

    >>> pieces(0, 40, 32)
    [(0, 20), (21, 40)]
    """
    count = last - first + 1
    parts = -(-count // longest)
    edges = [first + -(-count * number // parts) for number in range(parts + 1)]
    return [(start, end - 1) for start, end in pairwise(edges)]


def cut(count: int, cuts: Sequence[int], longest: int) -> list[tuple[int, int]]:
    """The parts of a film: its scenes, the long ones in pieces.

    >>> cut(10, [3], 4)
    [(0, 2), (3, 6), (7, 9)]
    """
    edges = [0, *cuts, count]
    return [piece for start, end in pairwise(edges) for piece in pieces(start, end - 1, longest)]


def reduced(frame: np.ndarray, by: int) -> np.ndarray:
    """An H x W x C frame reduced by a whole number: means of by x by pixels in whole numbers, rounded half up; rows and
    columns over are left out at the lower and right edge."""
    if by == 1:
        return frame
    height, width = frame.shape[0] // by, frame.shape[1] // by
    total = np.full((height, width, frame.shape[2]), by * by // 2, np.uint32)
    for offset in range(by * by):
        total += frame[offset // by:height * by:by, offset % by:width * by:by]
    return (total // (by * by)).astype(np.uint8)


class _Film:
    """A film that is open, and the number of the frame that comes next."""

    def __init__(self, path: Path, within: Path | None) -> None:
        import cv2

        _check_kind(read_bytes(path, within)[:12], path)
        self.capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if not self.capture.isOpened():
            raise Refused("no film that can be decoded: truncated or of an unknown coding")
        self.next = 0
        size = [int(self.capture.get(what)) for what in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
        if size[0] * size[1] > MAX_PIXELS:
            raise Refused(f"decompression bomb: {size[0]} x {size[1]} is more than {MAX_PIXELS} pixels")
        if min(size) < MIN_SIDE:
            raise Refused(f"too small: {size[0]} x {size[1]}, the shorter side must be at least {MIN_SIDE}")
        stated = int(self.capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.promised = 0 if path.suffix.lower() in (".mpg", ".mpeg") else max(0, stated)  # those only guess it

    def read(self, first: int, last: int | None) -> Iterator[np.ndarray]:
        """Frames as H x W x 3 RGB, up to `last` or the end."""
        import cv2

        while self.next < first and self.capture.grab():
            self.next += 1
        while self.next >= first and (last is None or self.next <= last):
            there, frame = self.capture.read()
            if not there:
                return
            self.next += 1
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


_threads = threading.local()


def _open(path: Path, within: Path | None) -> _Film:
    """The film of this thread where it is open still, in this process and unchanged; else from its beginning."""
    try:
        state: tuple[Any, ...] = (os.getpid(), str(path), within, path.stat().st_mtime_ns, path.stat().st_size)
    except OSError:
        state = ()
    if not state or getattr(_threads, "state", None) != state:
        _close()
        _threads.film, _threads.state = _Film(path, within), state
    film: _Film = _threads.film
    return film


def _close() -> None:
    _threads.film = _threads.state = None


def _check_kind(start: bytes, path: Path) -> None:
    """`Refused` unless the first bytes are those of a film: a playlist would make the decoder open other files."""
    if path.suffix.lower() in UNREAD:
        raise Refused("a kind of film which is not read: save it as MP4 or as a folder of PNG frames")
    if not (start[4:8] in _ATOMS or (start[:4] == b"RIFF" and start[8:12] == b"AVI ")
            or start[:4] in (b"\0\0\1\xba", b"\0\0\1\xb3")):
        raise Refused("not a film of a known format")
