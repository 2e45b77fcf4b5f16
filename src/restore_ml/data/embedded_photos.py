"""The photographs that ship inside the packages we depend on anyway: no download, and a committed list of their splits.

A package that ships other files than the table below is noticed and refused, not absorbed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256_of_file
from restore_ml.data import likeness, shelf
from restore_ml.data.domain import Maker
from restore_ml.data.pictures import read_picture

TILE = 192
"""Side of the test tiles in pixels."""

_PACKAGES = {"skimage": ("scikit-image", "data"), "sklearn": ("scikit-learn", "datasets/images"),
             "matplotlib": ("matplotlib", "mpl-data/sample_data"), "foolbox": ("foolbox", "data")}
_PUBLIC = "public domain (no known copyright restrictions)"


@dataclass(frozen=True)
class Photograph:
    """A file of a wheel: its package, SHA-256, licence and source as the package states them, split, group, tiles.

    `tiles`: the (x, y) of the upper left corners of non-overlapping TILE x TILE test tiles.
    """

    package: str
    file: str
    sha256: str
    licence: str
    source: str
    split: str = "train"
    group: str = ""
    tiles: tuple[tuple[int, int], ...] = ()

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return Path(self.file).stem


def _foolbox(number: str, split: str = "train", tiles: tuple[tuple[int, int], ...] = ()) -> Photograph:
    """One of foolbox's photographs by the number in its file's name; the table of the shelf has its hash."""
    package, file = shelf.package("foolbox"), f"imagenet_{number}.jpg"
    return Photograph("foolbox", file, package.files[f"foolbox/data/{file}"], package.licence, f"{file} of foolbox",
                      split, tiles=tiles)


PHOTOGRAPHS = (
    # The test photographs, cut into tiles.
    Photograph("skimage", "astronaut.png", "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5", _PUBLIC,
               "NASA Great Images, Eileen Collins", "test", tiles=((64, 64), (256, 64), (64, 256), (256, 256))),
    Photograph("skimage", "coffee.png", "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7", "CC0",
               "Rachel Michetti, Pikolo Espresso Bar", "test",
               tiles=((12, 8), (204, 8), (396, 8), (12, 200), (204, 200), (396, 200))),
    Photograph("sklearn", "flower.jpg", "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638", "CC BY 2.0",
               "vultilion, https://www.flickr.com/photos/vultilion/6056698931/", "test",
               tiles=((32, 21), (224, 21), (416, 21), (32, 213), (224, 213), (416, 213))),
    Photograph("skimage", "chelsea.png", "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb", "CC0",
               "Stefan van der Walt", "test", tiles=((33, 54), (225, 54))),
    Photograph("skimage", "camera.png", "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a", "CC0",
               "Lav Varshney", "test", tiles=((64, 64), (256, 64), (64, 256), (256, 256))),
    # No more than two tiles of each of these: every photograph counts about as much as another one. Three of them are
    # tested on as crops in classes too (`restore_ml.data.sources.class_crops`).
    _foolbox("02_438", "test", ((64, 32), (190, 290))),
    _foolbox("04_949", "test", ((160, 16), (96, 208))),
    _foolbox("07_609", "test", ((64, 144), (272, 192))),
    _foolbox("10_541", "test", ((300, 60), (420, 300))),
    _foolbox("13_471", "test", ((160, 24), (256, 224))),
    _foolbox("15_99", "test", ((0, 112), (208, 208))),
    # Training.
    Photograph("sklearn", "china.jpg", "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29", "CC BY 2.0",
               "danielbuechele, https://www.flickr.com/photos/danielbuechele/6061409035/"),
    Photograph("matplotlib", "grace_hopper.jpg", "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
               "public domain", "James S. Davis, US Navy"),
    Photograph("skimage", "motorcycle_left.png", "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
               "as shipped by scikit-image; research use", "Middlebury 2014 stereo benchmark", group="motorcycle"),
    Photograph("skimage", "motorcycle_right.png", "5fc913ae870e42a4b662314bc904d1786bcad8e2f0b9b67dba5a229406357797",
               "as shipped by scikit-image; research use", "Middlebury 2014 stereo benchmark", group="motorcycle"),
    Photograph("skimage", "ihc.png", "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef", _PUBLIC,
               "Center for Microscopy and Molecular Imaging, colonic glands"),
    Photograph("skimage", "hubble_deep_field.jpg", "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
               "public domain", "NASA, Hubble eXtreme Deep Field"),
    Photograph("skimage", "brick.png", "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf", "CC0",
               "CC0Textures, Bricks25"),
    Photograph("skimage", "grass.png", "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89", "CC0",
               "linolafett, https://www.deviantart.com/linolafett/art/Grass-01-434853879"),
    Photograph("skimage", "gravel.png", "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12", "CC0",
               "CC0Textures, Gravel04"),
    Photograph("skimage", "moon.png", "78739619d11f7eb9c165bb5d2efd4772cee557812ec847532dbb1d92ef71f577",
               "as shipped by scikit-image", "scikit-image, surface of the moon"),
    Photograph("skimage", "cell.png", "8d23a7fb81f7cc877cd09f330357fc7f595651306e84e17252f6e0a1b3f61515", "CC0",
               "quantitative phase image of a cell"),
    Photograph("skimage", "clock_motion.png", "f029226b28b642e80113d86622e9b215ee067a0966feaf5e60604a1e05733955",
               "public domain", "Stefan van der Walt"),
    Photograph("skimage", "text.png", "bd84aa3a6e3c9887850d45d606c96b2e59433fbef50338570b63c319e668e6d1", _PUBLIC,
               "Wikipedia, Corner.png"),
    Photograph("skimage", "page.png", "341a6f0a61557662b02734a9b6e56ec33a915b2c41886b97509dedf2a43b47a3",
               "as shipped by scikit-image", "scikit-image, scanned page"),
    *(_foolbox(number) for number in ("00_243", "01_559", "03_990", "05_853", "06_609", "08_915", "09_455", "11_630",
                                      "12_741", "14_129", "16_251", "17_22", "18_317", "19_305")),
    # Validation.
    Photograph("skimage", "retina.jpg", "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6", "CC0",
               "Wikimedia Commons, fundus of a normal left eye", "validation"),
    Photograph("skimage", "rocket.jpg", "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
               "public domain", "SpaceX, launch of DSCOVR", "validation"),
    Photograph("skimage", "coins.png", "f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba", _PUBLIC,
               "Brooklyn Museum, Greek coins from Pompeii", "validation"),
)


def makers() -> dict[str, Maker]:
    """What lays out `photos` (test tiles) and `photos_train`; `UserError` when a package's files differ from the table.
    """
    sources = _sources()
    return {"photos": lambda folder: test_tiles(folder, sources),
            "photos_train": lambda folder: training(folder, sources)}


def _sources(wanted: tuple[Photograph, ...] | None = None) -> dict[str, Path]:
    """The files of the photographs (all, or those wanted) by name, found without importing the packages and checked
    against the table."""
    paths, wrong, packages = {}, [], set()
    for photo in PHOTOGRAPHS if wanted is None else wanted:
        spec = importlib.util.find_spec(photo.package)
        folder = Path(spec.origin).parent / _PACKAGES[photo.package][1] if spec and spec.origin else None
        path = folder / photo.file if folder else None
        if path is None or not path.is_file() or sha256_of_file(path) != photo.sha256:
            wrong.append(photo.file)
            packages.add(_PACKAGES[photo.package][0])
        else:
            paths[photo.name] = path
    if wrong:
        raise UserError(f"The embedded photographs {', '.join(wrong)} are missing or differ from the ones this project "
                        f"was built with; installed: {', '.join(installed(name) for name in sorted(packages))}. "
                        "Install the versions of constraints.txt.")
    return paths


def installed(package: str) -> str:
    """A package with its version, in words."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} (not installed)"


def picture(name: str) -> tuple[np.ndarray, dict[str, Any]]:
    """A photograph's pixels, and its group, source and licence.

    Raises:
        Missing: it is not in the table.
        UserError: its file differs from the table.
    """
    photo = next((photo for photo in PHOTOGRAPHS if photo.name == name), None)
    if photo is None:
        raise shelf.Missing(f"There is no embedded photograph {name!r}.")
    return read_picture(_sources((photo,))[name]), _described(photo)


def _described(photo: Photograph) -> dict[str, Any]:
    return {"group": photo.group or photo.name, "source": photo.source, "licence": photo.licence}


def training(folder: Path, sources: dict[str, Path]) -> dict[str, Any]:
    """The training and validation photographs, the files as they are in the wheels."""
    folder.mkdir(parents=True)
    pictures = {}
    for photo in PHOTOGRAPHS:
        if photo.split != "test":
            (folder / photo.file).write_bytes(sources[photo.name].read_bytes())
            pictures[photo.file] = {**_described(photo), "split": photo.split}
    return _collection("train", pictures, "photographs that ship inside the wheels of scikit-image, "
                       "scikit-learn, matplotlib and foolbox")


def test_tiles(folder: Path, sources: dict[str, Path]) -> dict[str, Any]:
    """The test photographs as tiles, in PNG files without compression: no version of zlib changes a byte."""
    from PIL import Image

    folder.mkdir(parents=True)
    pictures, reserved = {}, {}
    for photo in PHOTOGRAPHS:
        if photo.split != "test":
            continue
        picture = read_picture(sources[photo.name])
        reserved[photo.name] = likeness.look(likeness.luma(picture)).as_json()
        for x, y in photo.tiles:
            tile = picture[y:y + TILE, x:x + TILE]
            name = f"{photo.name}_{x}_{y}.png"
            Image.fromarray(tile[:, :, 0] if tile.shape[2] == 1 else tile).save(folder / name, compress_level=0)
            pictures[name] = _described(photo)
    about = _collection("test", pictures, f"{TILE} x {TILE} tiles of photographs that ship inside "
                        "the wheels of scikit-image, scikit-learn and foolbox")
    return {**about, "reserved": reserved}


def _collection(role: str, pictures: dict[str, Any], source: str) -> dict[str, Any]:
    return {"role": role, "domain": "photos", "synthetic": False, "source": source, "licence": "per picture",
            "pictures": pictures}


def decoded(splits: Collection[str]) -> Iterator[tuple[Photograph, np.ndarray]]:
    """The whole photographs of these splits, H x W x C uint8: what drawn collections are made from."""
    sources = _sources()
    for photo in PHOTOGRAPHS:
        if photo.split in splits:
            yield photo, read_picture(sources[photo.name])
