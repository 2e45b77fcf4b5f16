"""Face super-resolution: a face of very few pixels in, the face eight times as large out.

Inputs: `lr` (H x W x 3 uint8) and `scale` (8). Targets: `hr`, the face of `size` x `size` pixels, and `hr_attributes`,
what is known of it (40 float32 in the order of CelebA's list: 1 has it, -1 has it not, 0 unknown), which methods may
learn from; what a method may see of them while it restores is an optional input (optional.py). Output: `sr`.

Settings: `size`, height and width of the faces in pixels; `noise_sigma`, grey levels, and `blur_sigma`, pixels of a
face of 128 (in proportion at other sizes), of the degradations with noise and blur.

reading: faces are cut as the square in the middle of the picture and resized to `size`; CelebA's own crop of the card
is a rectangle that is squeezed. The values of noise and blur are the card's, told from the published bicubic row.
Source: the section on face super-resolution of the method cards (16 x 16 to 128 x 128 pixels).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import ArraySpec
from restore_ml.base.errors import UserError
from restore_ml.degradations.blur import gaussian_blur
from restore_ml.degradations.noise import gaussian_noise
from restore_ml.degradations.resize import imresize
from restore_ml.kinds import NUMBER, PICTURE, VECTOR
from restore_ml.tasks.base import Task
from restore_ml.tasks.cropping import centre_square, three_channels

SCALE = 8
ATTRIBUTES = 40
KINDS = ("plain", "noise", "blur_noise")
"""How a face is made small: bicubic; then noise; a blur before both."""
PUBLISHED_SIZE = 128
"""Pixels of the faces that `blur_sigma` counts in."""
LARGEST = 512


class FaceSuperResolution(Task):
    """See the module's docstring."""

    name = "face_super_resolution"
    roles: ClassVar = {"face": "faces"}
    inputs: ClassVar = {"lr": ArraySpec(PICTURE, 3), "scale": ArraySpec(NUMBER, low=SCALE, high=SCALE)}
    target: ClassVar = {"hr": ArraySpec(PICTURE, 3, size_of="lr", scale="scale"),
                        "hr_attributes": ArraySpec(VECTOR, ATTRIBUTES, low=-1, high=1)}
    output: ClassVar = {"sr": ArraySpec(PICTURE, 3, size_of="lr", scale="scale")}
    defaults: ClassVar = {"size": 64, "noise_sigma": 10.0, "blur_sigma": 5.5}

    def check(self, settings: Mapping[str, Any]) -> None:
        """`size` is a multiple of 8 from 32 to 512; the deviations are not negative, the blur's is positive."""
        size = settings["size"]
        if isinstance(size, bool) or not isinstance(size, int) or not 32 <= size <= LARGEST or size % SCALE:
            raise UserError(f"`size` of face_super_resolution is {size!r}; it must be a multiple of {SCALE} from 32 to "
                            f"{LARGEST} pixels.")
        if not settings["noise_sigma"] >= 0 or not settings["blur_sigma"] > 0:
            raise UserError("`noise_sigma` of face_super_resolution must be 0 or more and `blur_sigma` more than 0; "
                            f"they are {settings['noise_sigma']!r} and {settings['blur_sigma']!r}.")

    def accepts(self, picture: np.ndarray, settings: Mapping[str, Any]) -> str | None:
        """Refuses faces with a side of less than `size` pixels and channel counts other than 1 and 3."""
        if picture.shape[2] not in (1, 3):
            return f"{picture.shape[2]} channels"
        size = self.resolve(settings)["size"]
        return f"a side is below {size} pixels" if min(picture.shape[:2]) < size else None


def face(picture: np.ndarray, size: int) -> np.ndarray:
    """The square in the middle of an H x W x C picture, resized to `size` x `size` x C."""
    square = centre_square(picture, min(picture.shape[:2]))
    return square if len(square) == size else imresize(square, output_size=(size, size))


def made_small(hr: np.ndarray, kind: str, settings: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
    """A face (S x S x 3 uint8) at an eighth of its size, S/8 x S/8 x 3 uint8.

    `kind`: one of `KINDS`. `settings`: `noise_sigma` and `blur_sigma`, see the module's docstring.
    """
    blurred = hr
    if kind == "blur_noise":
        sigma = settings["blur_sigma"] * len(hr) / PUBLISHED_SIZE
        blurred = gaussian_blur(hr, sigma, 2 * int(3 * sigma) + 1)  # of 5.5 pixels: the card's kernel of 33
    small = imresize(blurred, 1 / SCALE)
    return small if kind == "plain" else gaussian_noise(small, settings["noise_sigma"], rng)


def attributes_of(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The attributes of a prepared face, all unknown where it has none."""
    return np.asarray(arrays.get("attributes", np.zeros(ATTRIBUTES)), np.float32)


def rgb(picture: np.ndarray) -> np.ndarray:
    """A grey face in three channels that may be written to; others as they are."""
    return np.ascontiguousarray(three_channels(picture))


TASK = FaceSuperResolution()
