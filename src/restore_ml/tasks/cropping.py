"""Cutting and resizing that several tasks share; pictures are H x W x C."""

from __future__ import annotations

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.base.errors import UserError
from restore_ml.degradations.resize import imresize


def three_channels(picture: np.ndarray) -> np.ndarray:
    """A grey picture in three equal channels (a view); others as they are."""
    return np.broadcast_to(picture, (*picture.shape[:2], 3)) if picture.shape[2] == 1 else picture


def resized_to_short_side(picture: np.ndarray, side: int) -> np.ndarray:
    """The picture with its shorter side resized to `side` pixels by `imresize`, its shape kept."""
    height, width = picture.shape[:2]
    if min(height, width) == side:
        return picture
    scale = side / min(height, width)
    return imresize(picture, output_size=(max(side, round(height * scale)), max(side, round(width * scale))))


def at_most(picture: np.ndarray, side: int) -> np.ndarray:
    """The picture made smaller to a shorter side of `side` where it is larger; 0 leaves it as it is."""
    return resized_to_short_side(picture, side) if side and min(picture.shape[:2]) > side else picture


def centre_square(picture: np.ndarray, side: int) -> np.ndarray:
    """The square of `side` pixels in the middle.

    >>> centre_square(np.arange(4).reshape(1, 4, 1), 1)[0, 0, 0]
    np.int64(1)
    """
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    return np.ascontiguousarray(picture[top:top + side, left:left + side])


def random_squares(arrays: Arrays, side: int, rng: np.random.Generator) -> Arrays:
    """The same random square of `side` pixels of all arrays, which have one size; `UserError` if they are smaller."""
    height, width = next(iter(arrays.values())).shape[:2]
    if min(height, width) < side:
        raise UserError(f"The setting `patch` is {side}, but a training picture (or its mask) is {height} x {width}; "
                        f"lower `patch` to the task's `size` or raise that.")
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    return {name: value[top:top + side, left:left + side] for name, value in arrays.items()}


def random_square_mirrored(picture: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A random square of `side` pixels; a picture that is smaller is mirrored at its edges first."""
    missing = [max(0, side - length) for length in picture.shape[:2]]
    if any(missing):
        picture = np.pad(picture, [*((0, more) for more in missing), (0, 0)], "symmetric")
    top, left = (int(rng.integers(length - side + 1)) for length in picture.shape[:2])
    return picture[top:top + side, left:left + side]
