"""Folders of frames: which number each frame has, what is missing between them, and the true flow beside them.

Frames are numbered by the one number of their names that changes, so frame2 comes before frame10. Numbers missing in
between are a gap: the clip is cut there, and the missing range is named. `flow.npy` holds the true flow, if it is
known: int16, (T - 1) x H x W x 2, (u, v) in 1/64 pixel (u to the right, v down), from each frame to the next one.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np

from restore_ml.data.pictures import SUFFIXES, Refused, read_bytes, read_picture

FLOW = "flow.npy"
UNITS = 64
"""A flow of this value is one pixel."""
_SPARSE = 10


def is_frame(name: str) -> bool:
    """Whether the name promises a frame."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def numbered(names: Iterable[str]) -> dict[int, str]:
    """The frames by their numbers, in order; those without any number in the order of their names, from 0.

    Raises:
        Refused: a picture that is none of the frames, more than one clip, or two frames of one number.
    """
    there = sorted(names)
    parts = {name: re.split(r"(\d+)", PurePosixPath(name).stem) for name in there}
    texts = {name: tuple(part.casefold() for part in split[::2]) for name, split in parts.items()}
    bare = [name for name in there if len(parts[name]) == 1]
    if len(bare) == len(there):
        return dict(enumerate(there))
    if bare:
        raise Refused(f"{bare[0]} has no number as the other frames have")
    other = next((name for name in there if texts[name] != texts[there[0]]), "")
    if other:
        raise Refused(f"frames of more than one clip, such as {there[0]} and {other}: give each a folder of its own")
    numbers = np.array([[int(part) for part in parts[name][1::2]] for name in there], dtype=object)
    changing = [column for column in range(numbers.shape[1]) if len(set(numbers[:, column])) > 1] or [-1]
    if len(changing) > 1:
        raise Refused(f"more than one number changes in the frames' names, such as {there[0]} and {there[-1]}")
    by_number: dict[int, str] = {}
    for number, name in sorted(zip(numbers[:, changing[0]].tolist(), there, strict=True)):
        if number in by_number:
            raise Refused(f"two frames of number {number}: {by_number[number]} and {name}")
        by_number[number] = name
    step = _step(by_number)
    sparse = len(by_number) > 1 and (max(by_number) - min(by_number)) // step + 1 > _SPARSE * len(by_number)
    return dict(enumerate(by_number.values())) if sparse else by_number  # times or identifiers, no numbers of frames


def _step(numbers: Iterable[int]) -> int:
    return min((after - before for before, after in pairwise(sorted(numbers))), default=1)


def runs(numbers: Iterable[int]) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """The numbers in runs without a gap, and the first and last missing number of each gap.

    Frames may be numbered in steps of more than one.

    >>> runs([1, 2, 5, 6])
    ([[1, 2], [5, 6]], [(3, 4)])
    >>> runs([0, 10, 20])
    ([[0, 10, 20]], [])
    """
    ordered = sorted(numbers)
    step = _step(ordered)
    spans, gaps = [ordered[:1]], []
    for before, after in pairwise(ordered):
        if after - before == step:
            spans[-1].append(after)
        else:
            spans.append([after])
            gaps.append((before + step, max(before + step, after - step)))
    return spans, gaps


def gap_in_words(first: int, last: int) -> str:
    """What is missing, as a reason."""
    which = f"frame {first} is" if first == last else f"the frames {first} to {last} are"
    return f"a gap: {which} missing, so the clip is cut there"


def read_frames(folder: Path, names: list[str], within: Path | None) -> np.ndarray:
    """The frames as T x H x W x C uint8; `Refused`, with the frame's name, where one cannot be read or differs."""
    decoded: list[np.ndarray] = []
    for name in names:
        try:
            frame = read_picture(folder / name, within)
        except Refused as error:
            raise Refused(f"{name}: {error.reason}") from None
        if decoded and frame.shape != decoded[0].shape:
            raise Refused(f"{name} is {_size(frame)}, {names[0]} is {_size(decoded[0])}")
        decoded.append(frame)
    return np.stack(decoded)


def _size(frame: np.ndarray) -> str:
    height, width, channels = frame.shape
    return f"{width} x {height} in {'colour' if channels == 3 else 'grey'}"


def read_flow(path: Path, shape: tuple[int, ...], within: Path | None) -> np.ndarray:
    """The flow of `shape`; `Refused` where it is another, is no int16 or leads further than the frames are wide."""
    try:
        flow = np.load(io.BytesIO(read_bytes(path, within)), allow_pickle=False)
    except Refused as error:
        raise Refused(f"{FLOW}: {error.reason}") from None
    except Exception as error:  # numpy raises nearly anything on broken bytes
        raise Refused(f"{FLOW}: broken: {' '.join(str(error).split())[:80]}") from None
    if not isinstance(flow, np.ndarray) or flow.dtype != np.int16:
        raise Refused(f"{FLOW} holds {getattr(flow, 'dtype', 'no array')}, not int16 in 1/{UNITS} pixel")
    if flow.shape != shape:
        raise Refused(f"{FLOW} is {' x '.join(map(str, flow.shape))}, not {' x '.join(map(str, shape))}")
    farthest = int(np.abs(flow.astype(np.int32)).max(initial=0))
    if farthest > UNITS * max(shape[1:3]):
        raise Refused(f"{FLOW} leads {farthest // UNITS} pixels away, further than the frames are wide: its unit is "
                      f"1/{UNITS} pixel")
    return flow
