"""Real fields of nuclei: one of the Data Science Bowl of 2018 to test on, a scratch assay to learn from.

The test field (stardist) is cut into four tiles, which are of one group; the assay (ndev-sampledata) is one field that
was taken ten times, and so is one group too: its nuclei are the channel of the stain, its labels a program's.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from restore_ml.data import likeness, shelf

TILE = 256
"""Side of the test tiles in pixels."""
FIELD, ASSAY, FRAMES = "img2d", "scratch_assay", 10
NUCLEI, OUTLINES = 0, 2
"""Channels of the assay, which the file has one after the other, ten frames each."""


def save(folder: Path, name: str, image: np.ndarray, labels: np.ndarray) -> None:
    """A field as a folder of two PNG files without compression, so that no version of zlib changes a byte; the labels
    in 16 bits."""
    path = folder / name
    path.mkdir(parents=True)
    Image.fromarray(image).save(path / f"{name}.png", compress_level=0)
    Image.fromarray(labels.astype(np.uint16)).save(path / f"{name}.instances.png", compress_level=0)


def make_test(folder: Path) -> dict[str, Any]:
    """The tiles of the field of 125 nuclei.

    Raises:
        restore_ml.data.shelf.Missing: the package is not on the shelf.
    """
    image, labels = (np.asarray(Image.open(io.BytesIO(shelf.read("stardist", f"stardist/data/images/{name}.tif"))))
                     for name in ("img2d", "mask2d"))
    image = image.astype(np.uint8)  # levels up to 235 in a file of 16 bits
    pictures = {}
    for top in range(0, len(image), TILE):
        for left in range(0, image.shape[1], TILE):
            name, part = f"{FIELD}_{left}_{top}", np.s_[top:top + TILE, left:left + TILE]
            save(folder, name, image[part], labels[part])
            pictures[name] = {"group": FIELD}
    about = _described("test", pictures, "stardist", "Data Science Bowl 2018 (BBBC038), from the package stardist")
    return {**about, "reserved": {FIELD: likeness.look(image).as_json()}}


def make_training(folder: Path) -> dict[str, Any]:
    """The frames of the assay, 16 bits as they were taken.

    Raises:
        restore_ml.data.shelf.Missing: the package is not on the shelf.
    """
    data = shelf.read("ndev-sampledata", "ndev_sampledata/samples/scratch-assay-labeled-10T-2Ch.tiff")
    pictures = {}
    with Image.open(io.BytesIO(data)) as file:
        for frame in range(FRAMES):
            pages = []
            for channel in (NUCLEI, OUTLINES):
                file.seek(channel * FRAMES + frame)
                pages.append(np.asarray(file))
            name = f"{ASSAY}_{frame:02d}"
            save(folder, name, *pages)
            pictures[name] = {"group": ASSAY, "split": "train"}
    return _described("train", pictures, "ndev-sampledata",
                      "scratch assay, Hoechst, 10 frames of one field, outlined by a program; from the package "
                      "ndev-sampledata")


def _described(role: str, pictures: dict[str, Any], package: str, source: str) -> dict[str, Any]:
    return {"role": role, "domain": "nuclei", "synthetic": False, "source": source,
            "licence": shelf.package(package).licence, "pictures": pictures}
