"""What kinds of data have in common whose records are single picture files: photographs, paintings."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from restore_ml.data import likeness
from restore_ml.data.domain import Domain
from restore_ml.data.pictures import PROMISING, read_picture


class PictureFiles(Domain):
    """`image`: H x W x C uint8, C = 1 or 3, sRGB."""

    suffixes = PROMISING

    def read(self, path: Path, within: Path | None = None) -> dict[str, np.ndarray]:
        """The one array `image`."""
        return {"image": read_picture(path, within)}

    def luma(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """The picture's own."""
        return likeness.luma(arrays["image"])

    def from_rgb(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """The picture itself."""
        return {"image": picture}
