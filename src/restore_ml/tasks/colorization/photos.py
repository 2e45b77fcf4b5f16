"""A person's picture, coloured: its lightness stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.degradations.colour import rgb_to_lab, to_rgb8
from restore_ml.degradations.resize import imresize
from restore_ml.tasks.photos import Photos, Restorer

if TYPE_CHECKING:
    from restore_ml.method import Method

COLOUR_SIDE = 256
"""Colour is predicted with the short side reduced to this, then enlarged and joined to the full-size lightness."""
STRIP = 2**19
"""Pixels whose colour space is changed at once."""


class ColorizationPhotos(Photos):
    """bf16 wins little (1.2 times), as the network sees a small picture, and costs 2 levels and 0.014 dB
    (colorful_colorization)."""

    def probes(self, method: Method) -> tuple[str, ...]:
        """The one grey."""
        return ("lab_grey",)

    def restore(self, picture: np.ndarray, mask: np.ndarray | None, scale: int | None,
                restorer: Restorer) -> np.ndarray:
        """The picture in colour."""
        height, width = picture.shape[:2]
        rows = max(1, STRIP // width)  # colour spaces take several floats a pixel, so they are changed strip by strip
        strips = [slice(top, top + rows) for top in range(0, height, rows)]
        lightness = np.empty((height, width, 1), np.float32)
        for strip in strips:
            lightness[strip] = rgb_to_lab(picture[strip].astype(np.float32) / 255.0)[:, :, :1]
        factor = min(1.0, COLOUR_SIDE / min(height, width))
        size = (max(1, round(height * factor)), max(1, round(width * factor)))
        small = np.clip(imresize(lightness, output_size=size), 0.0, 100.0).astype(np.float32)
        colour = restorer({"L": small})["ab"]
        large, coloured = _enlarge(colour, (height, width)), np.empty((height, width, 3), np.uint8)
        for strip in strips:
            coloured[strip] = to_rgb8(lightness[strip], large[strip])
        return coloured

    def shown(self, inputs: Arrays, output: Arrays) -> np.ndarray:
        """The lightness of the input with the ab of the output."""
        return to_rgb8(inputs["L"], output["ab"])


def _enlarge(colour: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import torch

    tensor = torch.from_numpy(colour.transpose(2, 0, 1))[None]
    large = torch.nn.functional.interpolate(tensor, size, mode="bilinear", align_corners=False)
    return large[0].numpy().transpose(1, 2, 0)


PHOTOS = ColorizationPhotos()
