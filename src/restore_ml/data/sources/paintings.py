"""The embedded paintings: photographs painted in seven ways, and two real illustrations of a book."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from restore_ml.data import embedded_photos, shelf
from restore_ml.data.domain import Maker
from restore_ml.data.films import reduced
from restore_ml.data.sources.clips import save_png
from restore_ml.data.sources.painters import FAMILIES
from restore_ml.seeds import generator

SEED, SIDE = 1, 192
"""Pixels of a side."""
ILLUSTRATIONS = ("frontispiece.jpg", "illus_001.jpg")


def makers() -> dict[str, Maker]:
    """What fills the painted photographs of either side, and the illustrations."""
    return {"paintings": lambda folder: _painted(folder, ("test",)),
            "paintings_train": lambda folder: _painted(folder, ("train", "validation")),
            "paintings_book": _book}


def square(photo: np.ndarray) -> np.ndarray:
    """The middle of a photograph as SIDE x SIDE pixels, reduced by the largest whole number that leaves so many."""
    by = min(photo.shape[:2]) // SIDE
    top, left = ((length - SIDE * by) // 2 for length in photo.shape[:2])
    return reduced(photo[top:top + SIDE * by, left:left + SIDE * by], by)


def painted(photo: np.ndarray, family: str, name: str) -> np.ndarray:
    """SIDE x SIDE x 3: a photograph's middle painted in the way of a family."""
    return FAMILIES[family](square(photo), generator("painting", SEED, family, name))


def _painted(folder: Path, splits: tuple[str, ...]) -> dict[str, Any]:
    """Every family's painting of one colour photograph of each group: `<family>/<photograph>.png`.

    A group is what a family paints of one side's photographs; no photograph is on two sides. Those of foolbox are not
    painted: the set would be three times as large and show nothing new.
    """
    pictures: dict[str, Any] = {}
    groups: set[str] = set()
    for photo, picture in embedded_photos.decoded(splits):
        group = photo.group or photo.name
        if photo.package == "foolbox" or picture.shape[2] == 1 or min(picture.shape[:2]) < SIDE or group in groups:
            continue
        groups.add(group)
        for family in FAMILIES:
            name = f"{family}/{photo.name}.png"
            (folder / family).mkdir(parents=True, exist_ok=True)
            save_png(folder / name, painted(picture, family, photo.name))
            pictures[name] = {"group": f"{family} ({photo.split})", "licence": photo.licence, "source": photo.source}
            if photo.split != "test":
                pictures[name]["split"] = photo.split
    return {"role": "test" if splits == ("test",) else "train", "domain": "paintings", "synthetic": True,
            "source": "photographs painted by this project", "licence": "per picture", "pictures": pictures}


def _book(folder: Path) -> dict[str, Any]:
    """The illustrations as they are."""
    folder.mkdir(parents=True)
    for name in ILLUSTRATIONS:
        (folder / name).write_bytes(shelf.read("nikola", f"nikola/data/samplesite/images/{name}"))
    return {"role": "test", "domain": "paintings", "synthetic": False, "licence": "public domain",
            "source": "illustrations of Guy Boothby, A Bid for Fortune, Project Gutenberg EBook 21640, from nikola",
            "pictures": {name: {"group": "A Bid for Fortune"} for name in ILLUSTRATIONS}}
