"""A person's picture, coloured: its lightness stays as it is.

Grey is not one thing, and each kind of file becomes Lab lightness in its own way (`lightness_of`):

- a grey picture of 8 bits: the L of (g, g, g) with g = value / 255;
- a grey scan of 16 bits: the same with g = value / 65535, all of its levels;
- a print in one tone (sepia, blue: `toned`): g = 0.299 R + 0.587 G + 0.114 B first, since its tone is no colour of what
  it shows and Lab's own lightness would count the tone's blue and red otherwise; whoever gives it is told so;
- a picture in colour: its Lab lightness, what all methods are compared on; whoever gives it is told that nobody looked
  at its colours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.data.file_kinds import PICTURE, Picture, Read
from restore_ml.degradations.colour import grey, rgb_to_lab, to_rgb8
from restore_ml.degradations.resize import imresize
from restore_ml.tasks.colorization.task import NEAR_GREY
from restore_ml.tasks.photos import Asked, Given, Got, Photos, Restorer, Way

if TYPE_CHECKING:
    from restore_ml.method import Method

COLOUR_SIDE = 256
"""Colour is predicted with the short side reduced to this, then enlarged and joined to the full-size lightness."""
STRIP = 2**19
"""Pixels whose colour space is changed at once."""
WHITE = {"uint8": np.float32(255), "uint16": np.float32(65535)}
LOOKED_AT = 2**14
"""About how many cells of a picture, the means of at least CELL x CELL pixels, its colours are judged by."""
CELL = 4
"""JPEG stores colours coarser than lightness, so that single pixels have some of their neighbours' colour."""
SPREAD, ONE_HUE = 2.4, 0.95
"""A print in one tone: at each lightness its ab lie no farther than SPREAD from their mean (root mean square), and all
colours together point to one hue: the length of their sum is ONE_HUE of the sum of their lengths. Sepia as JPEG of
quality 75 has a spread of up to 2.3."""
TONED = ("The picture is a print in one tone, such as sepia: it was turned to grey first (0.299 R + 0.587 G + 0.114 "
         "B), and its tone is gone.")
IN_COLOUR = "The picture is in colour already: only its lightness was used, and its own colours are gone."


class ColorizationPhotos(Photos):
    """bf16 wins little (1.2 times), as the network sees a small picture, and costs 2 levels and 0.014 dB
    (colorful_colorization)."""

    kind: ClassVar = Picture(deep=True)

    @property
    def ways(self) -> tuple[Way, ...]:  # type: ignore[override]
        """A picture in, also one of 16 bits, the same in colour out."""
        return (Way((Given("image", self.kind),), (Got("image", PICTURE),)),)

    def probes(self, method: Method) -> tuple[str, ...]:
        """The one grey."""
        return ("lab_grey",)

    def answer(self, given: Mapping[str, Read], asked: Asked, restorer: Restorer) -> dict[str, Read]:
        """The picture in colour; a print in one tone is turned to grey before."""
        picture = given["image"]
        own = y601(picture.value) if toned(picture.value) else picture.value
        return {"image": Read(self.restore(own, None, None, restorer), picture.origin)}

    def remark(self, method: Method, given: Mapping[str, Read]) -> str:
        """What became of a picture that was not grey."""
        picture = given["image"].value
        return TONED if toned(picture) else IN_COLOUR if coloured(picture) else ""

    def restore(self, picture: np.ndarray, mask: np.ndarray | None, scale: int | None,
                restorer: Restorer) -> np.ndarray:
        """The picture in colour, of one that `lightness_of` takes."""
        lightness, ab = self.lab(picture, restorer)
        out = np.empty((*picture.shape[:2], 3), np.uint8)
        for strip in _strips(picture):
            out[strip] = to_rgb8(lightness[strip], ab[strip])
        return out

    def lab(self, picture: np.ndarray, restorer: Restorer) -> tuple[np.ndarray, np.ndarray]:
        """The picture's lightness, H x W x 1 float32, as `lightness_of` has it bit for bit, and its colours, H x W x 2
        float32: the result before it is brought into sRGB and rounded to 8 bits."""
        lightness, (height, width) = lightness_of(picture), picture.shape[:2]
        factor = min(1.0, COLOUR_SIDE / min(height, width))
        size = (max(1, round(height * factor)), max(1, round(width * factor)))
        small = np.clip(imresize(lightness, output_size=size), 0.0, 100.0).astype(np.float32)
        return lightness, _enlarge(restorer({"L": small})["ab"], (height, width))

    def shown(self, inputs: Arrays, output: Arrays) -> np.ndarray:
        """The lightness of the input with the ab of the output."""
        return to_rgb8(inputs["L"], output["ab"])


def lightness_of(picture: np.ndarray) -> np.ndarray:
    """Lab lightness of a picture, H x W x 1 float32 in [0, 100]. `picture`: H x W x C, uint8 (of 255), uint16 (of
    65535) or float32 (of 1); C 1 is the grey g of (g, g, g)."""
    lightness = np.empty((*picture.shape[:2], 1), np.float32)
    for strip in _strips(picture):  # colour spaces take several floats a pixel
        part = in_units(picture[strip])
        lightness[strip] = rgb_to_lab(np.broadcast_to(part, (*part.shape[:2], 3)))[:, :, :1]
    return lightness


def y601(picture: np.ndarray) -> np.ndarray:
    """The grey 0.299 R + 0.587 G + 0.114 B of an H x W x 3 picture (uint8 or uint16), H x W x 1 float32 in [0, 1]."""
    out = np.empty((*picture.shape[:2], 1), np.float32)
    for strip in _strips(picture):
        out[strip] = grey(in_units(picture[strip]), "y601")[..., None]
    return out


def coloured(picture: np.ndarray) -> bool:
    """Whether some |a| or |b| is above 5, as the task says of its test pictures, in the picture's cells."""
    return picture.shape[2] == 3 and bool(np.abs(_looked_at(picture)[:, 1:]).max() > NEAR_GREY)


def toned(picture: np.ndarray) -> bool:
    """Whether a picture of three channels is a grey one in one tone (sepia, blue): its colours follow from its
    lightness and have one hue.

    reading: the bounds are ours (SPREAD, ONE_HUE); half of the colours must be above 5.
    """
    if picture.shape[2] != 3:
        return False
    lab = _looked_at(picture)
    ab, chroma = lab[:, 1:], np.linalg.norm(lab[:, 1:], axis=1)
    if np.median(chroma) <= NEAR_GREY or np.linalg.norm(ab.sum(0)) < ONE_HUE * chroma.sum():
        return False
    step = np.clip(lab[:, 0] * (32 / 100), 0, 31).astype(np.int64)  # of lightness: narrow, as a tone bends with it
    count = np.maximum(np.bincount(step, minlength=32), 1)
    means = np.stack([np.bincount(step, ab[:, channel], 32) / count for channel in range(2)], 1)
    return bool(np.sqrt(np.square(ab - means[step]).sum(1).mean()) <= SPREAD)


def _looked_at(picture: np.ndarray) -> np.ndarray:
    """Lab of the picture's cells, N x 3."""
    height, width = picture.shape[:2]
    side = max(CELL, int((height * width / LOOKED_AT) ** 0.5))
    cells = cv2.resize(np.ascontiguousarray(picture), (max(1, width // side), max(1, height // side)),
                       interpolation=cv2.INTER_AREA)
    lab: np.ndarray = rgb_to_lab(in_units(cells)).reshape(-1, 3)
    return lab


def in_units(picture: np.ndarray) -> np.ndarray:
    """float32 in [0, 1], by what white is in its kind of number."""
    return picture if picture.dtype == np.float32 else picture.astype(np.float32) / WHITE[picture.dtype.name]


def _strips(picture: np.ndarray) -> list[slice]:
    rows = max(1, STRIP // picture.shape[1])
    return [slice(top, top + rows) for top in range(0, picture.shape[0], rows)]


def _enlarge(colour: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import torch

    tensor = torch.from_numpy(colour.transpose(2, 0, 1))[None]
    large = torch.nn.functional.interpolate(tensor, size, mode="bilinear", align_corners=False)
    return large[0].numpy().transpose(1, 2, 0)


PHOTOS = ColorizationPhotos()
