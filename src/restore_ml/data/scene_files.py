"""Scenes in the files that other programs write: folders of two dates, and EOPatch folders of many.

A folder of two dates holds `target` and `reference` as .tif, .npy or .png and perhaps `mask`. Whole numbers are
reflectance x 10000, in PNG files shares of 255 (red, green and blue, turned into blue, green and red), floating-point
numbers reflectance. Where a file says of a value that nothing was measured there, as -9999 and NaN always do, both
bands and mask say so (0 and code 4). An EOPatch folder (eo-learn) holds data/<feature>.npy and mask/CLM.npy, dates
first; each of its records is two neighbouring clear dates.
"""

from __future__ import annotations

import io
import math
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from restore_ml.data.ledger import Mark, mark
from restore_ml.data.pictures import MAX_PIXELS, MIN_SIDE, Refused, decode_picture, read_bytes
from restore_ml.data.scenes import REFLECTANCE, check_codes

DATES = ("target", "reference")
SUFFIXES = (".tif", ".tiff", ".npy", ".png")
NOTHING = 4
NODATA = -9999
LARGEST = 6.5535
"""The largest reflectance of 16-bit digital numbers."""
CLOUDY = 0.01
"""The largest share of cloud of a date that counts as clear."""
_FEATURES = ("BANDS", "L2A", "L1C", "NDVI")
"""Beginnings of the names of features, the first one preferred."""
_GDAL_NODATA, _SCALE, _TIEPOINT = 42113, 33550, 33922
_Place = tuple[tuple[float, ...], ...]
_NOWHERE: _Place = ()


def read_pair(folder: Path, within: Path | None = None) -> dict[str, np.ndarray]:
    """The arrays of a folder of two dates (see `domains/scenes.py`); `Refused` where it cannot be used."""
    values, gaps, places = {}, {}, {}
    for name in DATES:
        file = _only(folder, name)
        if file is None:
            raise Refused(f"no {name} in it")
        values[name], gaps[name], places[name] = _read_bands(file, within)
    target, reference = (values[name] for name in DATES)
    if target.shape != reference.shape:
        raise Refused(f"target and reference differ: {_size(target)} and {_size(reference)}")
    if places["target"] and places["reference"] and places["target"] != places["reference"]:
        raise Refused("target and reference lie at different places on the ground")
    file = _only(folder, "mask")
    mask = None if file is None else _read_mask(file, within, target.shape)
    return values | _mask(mask, gaps["target"] | gaps["reference"])


def _mask(mask: np.ndarray | None, gaps: np.ndarray) -> dict[str, np.ndarray]:
    """The mask, where there is anything to say: the codes given, and where nothing was measured at one of the dates."""
    if mask is None and not gaps.any():
        return {}
    codes = np.zeros(gaps.shape, np.uint8) if mask is None else mask
    return {"mask": np.where(gaps, np.uint8(NOTHING), codes)[..., None]}


def _only(folder: Path, name: str) -> Path | None:
    files = [file for file in sorted(folder.iterdir()) if file.stem == name and file.suffix.lower() in SUFFIXES]
    if len(files) > 1:
        raise Refused(f"two files for one date: {files[0].name} and {files[1].name}")
    return files[0] if files else None


def _size(values: np.ndarray) -> str:
    return f"{values.shape[1]} x {values.shape[0]} with {values.shape[2]} bands"


def _read_bands(file: Path, within: Path | None) -> tuple[np.ndarray, np.ndarray, _Place]:
    """Reflectance (H x W x B float32), where nothing was measured (H x W bool), and where on the ground it lies."""
    nodata, georeference = float(NODATA), _NOWHERE
    if file.suffix.lower() == ".png":
        picture = decode_picture(read_bytes(file, within))[..., ::-1]
        return picture.astype(np.float32) / np.float32(255), np.zeros(picture.shape[:2], bool), ()
    if file.suffix.lower() == ".npy":
        stored = read_npy(file, within)
    else:
        stored, nodata, georeference = _read_tiff(file, within)
    if stored.ndim not in (2, 3):
        raise Refused(f"{file.name} has {stored.ndim} axes: height, width and bands are read")
    values, gaps = reflectance(stored if stored.ndim == 3 else stored[..., None], file.name, nodata)
    if min(values.shape[:2]) < MIN_SIDE or not values.shape[2]:
        raise Refused(f"{file.name} is too small: {_size(values)}")
    return values, gaps, georeference


def reflectance(stored: np.ndarray, name: str, nodata: float = NODATA) -> tuple[np.ndarray, np.ndarray]:
    """Stored bands (... x B) as float32 reflectance, and where nothing was measured in any of them (0 there).

    Raises:
        Refused: numbers that are no reflectance.
    """
    if stored.dtype.kind not in "iuf":
        raise Refused(f"{name} holds {stored.dtype}: whole or floating-point numbers are read")
    if stored.dtype.itemsize == 1:
        raise Refused(f"{name} holds 8-bit levels, which are no reflectance x {REFLECTANCE}: save pictures as PNG")
    gaps = ((stored == nodata) | (stored == NODATA) | ~np.isfinite(stored)).any(axis=-1)
    scale = REFLECTANCE if stored.dtype.kind in "iu" else 1
    values = np.where(gaps[..., None], 0, stored).astype(np.float64) / scale
    if values.max(initial=0) > LARGEST:
        raise Refused(f"{name} has values up to {values.max() * scale:g}: reflectance, or whole numbers of reflectance "
                      f"x {REFLECTANCE}, are read")
    if gaps.all():
        raise Refused(f"nothing was measured anywhere in {name}")
    return np.clip(values, 0, None).astype(np.float32), gaps


def read_npy(file: Path, within: Path | None = None) -> np.ndarray:
    """The array of an .npy file; `Refused` for anything else, objects too."""
    data = read_bytes(file, within, most=None)
    try:
        return np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError) as error:
        raise Refused(f"{file.name} is no whole .npy file of numbers: {' '.join(str(error).split())}") from None


def _read_tiff(file: Path, within: Path | None) -> tuple[np.ndarray, float, _Place]:
    """The first series of a GeoTIFF as H x W x B, its value for nothing measured, and scale and tie points."""
    import tifffile

    data = read_bytes(file, within, most=None)
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            page, series = tiff.pages.first, tiff.series[0]
            if math.prod(series.shape) > 16 * MAX_PIXELS:
                raise Refused(f"{file.name} is a decompression bomb: {' x '.join(map(str, series.shape))} values")
            values = series.asarray()
            text = str(page.tags.valueof(_GDAL_NODATA, "")).strip("\0 ")
            georeference = tuple(tuple(page.tags.valueof(tag, ())) for tag in (_SCALE, _TIEPOINT))
            apart = series.axes[:1] not in ("Y", "X") and values.ndim == 3
    except Refused:
        raise
    except Exception as error:  # tifffile raises nearly anything on broken bytes
        raise Refused(f"{file.name} cannot be read: {' '.join(str(error).split()) or type(error).__name__}") from None
    try:
        nodata = float(text) if text else float(NODATA)
    except ValueError:
        nodata = float(NODATA)
    return np.moveaxis(values, 0, 2) if apart else values, nodata, georeference if any(georeference) else ()


def _read_mask(file: Path, within: Path | None, shape: tuple[int, ...]) -> np.ndarray:
    """A mask of the codes 0 to 4, H x W uint8, of that size."""
    if file.suffix.lower() == ".png":
        stored = decode_picture(read_bytes(file, within))
    else:
        stored = read_npy(file, within) if file.suffix.lower() == ".npy" else _read_tiff(file, within)[0]
    stored = stored[..., None] if stored.ndim == 2 else stored
    if stored.ndim != 3 or stored.shape[2] != 1 or stored.dtype.kind not in "iub":
        raise Refused(f"{file.name} must have one channel of whole numbers")
    if stored.shape[:2] != shape[:2]:
        raise Refused(f"{file.name} is {stored.shape[1]} x {stored.shape[0]}, its scene {shape[1]} x {shape[0]}")
    if stored.min(initial=0) < 0 or stored.max(initial=0) > 255:
        raise Refused(f"{file.name} has values outside 0 to 255")
    check_codes(stored)
    return stored[..., 0].astype(np.uint8)


def is_patch(folder: Path) -> bool:
    """Whether a folder is an EOPatch."""
    return (folder / "data").is_dir()


def pairs_of_patch(folder: Path, within: Path | None = None) -> list[str]:
    """`<reference>-<target>`, numbers of neighbouring clear dates of an EOPatch; `Refused` where there are none."""
    _, clear, _ = _open_patch(folder, within)
    if len(clear) < 2:
        raise Refused(f"{len(clear)} clear dates: two are needed")
    return [f"{before:03d}-{after:03d}" for before, after in pairwise(clear)]


def read_patch(folder: Path, pair: str, within: Path | None = None) -> dict[str, np.ndarray]:
    """The arrays of two dates of an EOPatch. An index from -1 to 1 (NDVI) is halved and moved to 0 to 1."""
    series, clear, clouds = _open_patch(folder, within)
    before, after = (int(number) for number in pair.split("-"))
    if (before, after) not in set(pairwise(clear)):
        raise Refused(f"{before} and {after} are no neighbouring clear dates of it")
    values, gaps = {}, np.zeros(series.shape[1:3], bool)
    for name, number in zip(DATES, (after, before), strict=True):
        values[name], missing = reflectance(series[number], name)
        gaps |= missing
    mask = clouds[after].astype(np.uint8) if clouds is not None and clouds[after].any() else None
    return values | _mask(mask, gaps)


def _open_patch(folder: Path, within: Path | None) -> tuple[np.ndarray, list[int], np.ndarray | None]:
    patch = _patch(folder, within, mark(folder))
    if isinstance(patch, Refused):
        raise Refused(patch.reason)
    return patch


@lru_cache(maxsize=2)
def _patch(folder: Path, within: Path | None,
           state: Mark | None) -> tuple[np.ndarray, list[int], np.ndarray | None] | Refused:
    """The feature of an EOPatch (T x H x W x B), its clear dates and clouds (T x H x W bool), or why there are none."""
    try:
        files = [file for file in sorted((folder / "data").iterdir()) if file.suffix == ".npy"]
        chosen = next((file for start in _FEATURES for file in files if file.stem.upper().startswith(start)), None)
        if chosen is None:
            raise Refused(f"no feature {', '.join(_FEATURES)} in data/")
        series = read_npy(chosen, within)
        if series.ndim != 4:
            raise Refused(f"{chosen.name} has {series.ndim} axes: dates, height, width and bands are read")
        if chosen.stem.upper().startswith("NDVI"):
            series = (series + np.float32(1)) / np.float32(2)
        file = folder / "mask" / "CLM.npy"
        if not file.exists():
            return series, list(range(len(series))), None
        clouds = read_npy(file, within)
        if clouds.shape != (*series.shape[:3], 1):
            raise Refused(f"CLM.npy is {' x '.join(map(str, clouds.shape))}, {chosen.name} "
                          f"{' x '.join(map(str, series.shape))}")
        clouds = (clouds == 1)[..., 0]
        return series, [number for number, cover in enumerate(clouds) if cover.mean() <= CLOUDY], clouds
    except Refused as error:
        return error
