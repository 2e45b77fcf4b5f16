"""Satellite scenes of several bands and two dates: one safetensors file a record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from restore_ml.data.domain import Domain, Maker
from restore_ml.data.scenes import REFLECTANCE, SCENE_SUFFIX, read_scene

SEED, SIZE, BANDS = 1, 128, 4
INDICES = {"train": range(12), "validation": range(12, 14), "test": range(100, 112)}
"""Of the procedural scenes, by split."""


class Scenes(Domain):
    """`target`, `reference`: H x W x B float32 reflectance; `labels`: H x W x 1 uint8 classes, where there are any."""

    name = "scenes"
    what = "scenes"
    suffixes = frozenset((SCENE_SUFFIX,))
    max_bytes = None
    main = "target"
    dtype = "float32"
    channels = None

    def read(self, path: Path, within: Path | None = None) -> dict[str, np.ndarray]:
        """Both dates, as reflectance."""
        return read_scene(path, within)

    def luma(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """The mean band of the target date; reflectance 1 is white."""
        mean = arrays["target"].mean(axis=2, dtype=np.float64)
        return np.rint(np.clip(mean, 0, 1) * 255).astype(np.uint8)

    def from_rgb(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """Two dates of four bands (blue, green, red, near infrared) in reflectance; the earlier one a little darker."""
        visible = picture[..., ::-1].astype(np.float32) / 255 * np.float32(0.3) + np.float32(0.03)
        infrared = (0.6 - visible.mean(axis=2, keepdims=True)).astype(np.float32)
        target = np.concatenate([visible, infrared], 2).astype(np.float32)
        gain = np.array([0.9, 0.92, 0.95, 0.85], np.float32)
        return {"target": target, "reference": (target * gain + np.float32(0.01)).astype(np.float32)}

    def embedded(self) -> dict[str, Maker]:
        """Procedural scenes to test on, and to train and validate on."""
        return {"scenes": lambda folder: procedural(folder, ("test",)),
                "scenes_train": lambda folder: procedural(folder, ("train", "validation"))}


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
