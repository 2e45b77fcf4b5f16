"""Satellite scenes of several bands and two dates: a safetensors file a record, or files that other programs write.

Tasks take four bands, blue, green, red and near infrared in this order; embedded collections keep to it wherever the
sensor's files have them, and put further bands into arrays of their own, for cases that take all bands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from restore_ml.arrays import text
from restore_ml.data import scene_files
from restore_ml.data.bands import LAND
from restore_ml.data.domain import Domain, Maker
from restore_ml.data.pictures import Refused
from restore_ml.data.scene_layouts import EOPATCH, PAIRS, RICE
from restore_ml.data.scenes import BAND_BYTES, REFLECTANCE, SCENE_SUFFIX, read_scene

SEED, SIZE, BANDS = 1, 128, 4
INDICES = {"train": range(12), "validation": range(12, 14), "test": range(100, 112)}
"""Of the procedural scenes, by split."""


_DATES = re.compile(r"[0-9]{3,}-[0-9]{3,}")


class Scenes(Domain):
    """`target`, `reference`: H x W x B float32 reflectance of the same place at two dates. Where there are any:
    `labels`, H x W x 1 uint8 classes of land; `mask`, H x W x 1 uint8, what hides the ground at the target's date (0
    clear, 1 cloud, 2 shadow, 3 snow, 4 nothing measured at one of the dates); `target_further`, `reference_further`,
    H x W x B' float32, bands beyond those that every case takes; `bands`, their names in order as a text of 64 bytes.

    Records are files of `restore_ml.data.scenes`, folders of two dates and pairs of dates of EOPatch folders
    (`restore_ml.data.scene_files`).
    """

    name = "scenes"
    what = "scenes"
    counted = ("scenes", "places")
    suffixes = frozenset((SCENE_SUFFIX, ".tif", ".tiff", ".npy"))
    max_bytes = None
    main = "target"
    dtype = "float32"
    channels = None
    layouts = (EOPATCH, PAIRS, RICE)

    def records(self, files: Sequence[str]) -> dict[str, list[str]]:
        """EOPatch folders, folders that hold a `target` or `reference`, else every file."""
        folders = {path.parent.parent for file in files if (path := PurePosixPath(file)).parent.name == "data"
                   and path.suffix == ".npy"} | {
            path.parent for file in files if (path := PurePosixPath(file)).stem in scene_files.DATES
            and path.suffix.lower() in scene_files.SUFFIXES}
        records: dict[str, list[str]] = {}
        for file in files:
            top = next((parent for parent in reversed(PurePosixPath(file).parents) if parent in folders), None)
            records.setdefault(file if top in (None, PurePosixPath()) else str(top), []).append(file)
        return records

    def promises(self, record: str) -> bool:
        """Files of scenes, and folders (which may be called anything)."""
        suffix = Path(record).suffix.lower()
        return suffix in self.suffixes or not re.fullmatch(r"\.[a-z]{2,5}", suffix)

    def parts(self, path: Path, within: Path | None = None) -> Sequence[str]:
        """The pairs of neighbouring clear dates of an EOPatch folder."""
        return scene_files.pairs_of_patch(path, within) if scene_files.is_patch(path) else ()

    def group(self, record: str) -> str:
        """The place: an EOPatch folder for its pairs; nothing is known of others."""
        path = PurePosixPath(record)
        return str(path.parent) if _DATES.fullmatch(path.name) and path.parent.name else ""

    def read(self, path: Path, within: Path | None = None) -> dict[str, np.ndarray]:
        """Both dates, as reflectance."""
        if path.suffix.lower() == SCENE_SUFFIX:
            return read_scene(path, within)
        if _DATES.fullmatch(path.name) and scene_files.is_patch(path.parent):
            return scene_files.read_patch(path.parent, path.name, within)
        if path.is_dir() and scene_files.is_patch(path):
            raise Refused("an EOPatch folder of which no dates are known: `restore-ml data add` takes it")
        if path.is_dir():
            return scene_files.read_pair(path, within)
        raise Refused("no scene of two dates: name the files <name>_target and <name>_reference")

    def luma(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """The mean band of the target date; reflectance 1 is white."""
        mean = arrays["target"].mean(axis=2, dtype=np.float64)
        return np.rint(np.clip(mean, 0, 1) * 255).astype(np.uint8)

    def from_rgb(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """Two dates of four bands (blue, green, red, near infrared) in reflectance, two of short-wave infrared beside
        them; the earlier one a little darker."""
        visible = picture[..., ::-1].astype(np.float32) / 255 * np.float32(0.3) + np.float32(0.03)
        infrared = (0.6 - visible.mean(axis=2, keepdims=True)).astype(np.float32)
        target = np.concatenate([visible, infrared], 2).astype(np.float32)
        further = np.concatenate([0.6 * infrared, 0.2 + 0.5 * visible[..., 2:]], 2).astype(np.float32)
        gain = np.array([0.9, 0.92, 0.95, 0.85, 0.9, 0.95], np.float32)
        earlier = (np.concatenate([target, further], 2) * gain + np.float32(0.01)).astype(np.float32)
        return {"target": target, "reference": earlier[..., :BANDS], "target_further": further,
                "reference_further": earlier[..., BANDS:], "bands": text(" ".join(LAND), BAND_BYTES)}

    def embedded(self) -> dict[str, Maker]:
        """Procedural scenes to test on, and to train and validate on; real ones of one place each, to test on
        (Sentinel-2), to fill as they were found and to train on (Landsat)."""
        from restore_ml.data.sources import real_scenes

        return {"scenes": lambda folder: procedural(folder, ("test",)),
                "scenes_train": lambda folder: procedural(folder, ("train", "validation")),
                **real_scenes.makers()}


def procedural(folder: Path, splits: tuple[str, ...]) -> dict[str, Any]:
    """Fill the folder with drawn scenes, as whole numbers (reflectance x 10000); returns what they are."""
    from safetensors.numpy import save_file

    from restore_ml.degradations.clouds import scene

    folder.mkdir(parents=True)
    pictures = {}
    for split in splits:
        for index in INDICES[split]:
            arrays = scene(SEED, index, size=SIZE, bands=BANDS)
            stored = {key: np.rint(np.clip(arrays[key], 0, 6.5535) * REFLECTANCE).astype(np.uint16)
                      for key in ("target", "reference")}
            stored["labels"] = arrays["labels"].astype(np.uint8)
            name = f"scene_{index:03d}{SCENE_SUFFIX}"
            save_file({key: np.ascontiguousarray(value) for key, value in stored.items()}, folder / name)
            pictures[name] = {"split": split}
    return {"role": "test" if splits == ("test",) else "train", "domain": "scenes", "synthetic": True,
            "source": "procedural scenes of this project (restore_ml.degradations.clouds.scene)",
            "licence": "same licence as this project", "pictures": pictures}


DOMAIN = Scenes()
