"""Photographs: one picture file a record, grey or RGB."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from restore_ml.data import likeness
from restore_ml.data.domain import Domain, Maker
from restore_ml.data.pictures import PROMISING, read_picture
from restore_ml.data.public_layouts import CYCLEGAN, FOLDERS, SELFEXSR


class Photos(Domain):
    """`image`: H x W x C uint8, C = 1 or 3, sRGB."""

    name = "photos"
    what = "photographs"
    suffixes = PROMISING
    layouts = (SELFEXSR, CYCLEGAN, FOLDERS)

    def read(self, path: Path, within: Path | None = None) -> dict[str, np.ndarray]:
        """The one array `image`."""
        return {"image": read_picture(path, within)}

    def luma(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """The picture's own."""
        return likeness.luma(arrays["image"])

    def from_rgb(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """The picture itself."""
        return {"image": picture}

    def embedded(self) -> dict[str, Maker]:
        """Photographs of the installed packages: test tiles, and whole ones to train and validate on."""
        from restore_ml.data import embedded_photos

        return embedded_photos.makers()


DOMAIN = Photos()
