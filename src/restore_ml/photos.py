"""A person's own picture in, a restored picture out: the tasks' inputs made from a photograph, and back.

The pictures of a comparison come from samples with a known truth; here there is none. Any size is taken.
"""

from __future__ import annotations

import numpy as np

from restore_ml.degradations.colour import rgb_to_lab, to_rgb8
from restore_ml.degradations.resize import imresize
from restore_ml.errors import UserError
from restore_ml.method import Method, Model
from restore_ml.restoration import restore

COLOUR_SIDE = 256
"""Colour is predicted with the short side reduced to this, then enlarged and joined to the full-size lightness."""



def restore_photo(method: Method, model: Model, picture: np.ndarray, mask: np.ndarray | None = None,
                  scale: int | None = None, seed: int = 1) -> np.ndarray:
    """Restore a photograph, H x W x C uint8 (C 1 or 3), of any size; returns H x W x 3 uint8.

    `mask`: H x W, nonzero = missing, for inpainting. `scale`: the factor of super-resolution (2 by default).
    Raises `UserError` for a picture that the task cannot take (no mask, a mask of another size, satellite scenes).
    """
    picture = _three_channels(picture)
    if method.task == "super_resolution":
        return _super_resolution(method, model, picture, scale or 2, seed)
    if method.task == "inpainting":
        return _inpainting(method, model, picture, mask, seed)
    if method.task == "colorization":
        return _colorization(method, model, picture, seed)
    raise UserError(f"{method.task} takes scenes of several bands and dates, not photographs; "
                    "restore them with the pipeline.")


def _three_channels(picture: np.ndarray) -> np.ndarray:
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture


def _super_resolution(method: Method, model: Model, picture: np.ndarray, scale: int, seed: int) -> np.ndarray:
    reason = method.unsupported(f"x{scale}")
    if reason:
        raise UserError(f"This model cannot enlarge by {scale}: {reason}; give another --scale.")
    return restore(method, model, {"lr": picture, "scale": np.array(scale, np.int32)}, seed)["sr"]


def _inpainting(method: Method, model: Model, picture: np.ndarray, mask: np.ndarray | None, seed: int) -> np.ndarray:
    if mask is None:
        raise UserError("Inpainting needs a mask: give --mask with a picture of the same size, white where to fill.")
    if mask.shape != picture.shape[:2]:
        raise UserError(f"The mask is {mask.shape[1]} x {mask.shape[0]}, the picture {picture.shape[1]} x "
                        f"{picture.shape[0]}; they must be of the same size.")
    hole = (mask != 0).astype(np.uint8)[:, :, None]
    if hole.all():
        raise UserError("The mask covers the whole picture; nothing is known from which to fill it.")
    return restore(method, model, {"image": picture * (1 - hole), "mask": hole}, seed)["image"]


def _colorization(method: Method, model: Model, picture: np.ndarray, seed: int) -> np.ndarray:
    lightness = rgb_to_lab(picture.astype(np.float32) / 255.0)[:, :, :1].astype(np.float32)
    height, width = lightness.shape[:2]
    factor = min(1.0, COLOUR_SIDE / min(height, width))
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    small = np.clip(imresize(lightness, output_size=size), 0.0, 100.0).astype(np.float32)
    colour = restore(method, model, {"L": small}, seed)["ab"]
    return to_rgb8(lightness, _enlarge(colour, (height, width)))


def _enlarge(colour: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import torch

    tensor = torch.from_numpy(colour.transpose(2, 0, 1))[None]
    large = torch.nn.functional.interpolate(tensor, size, mode="bilinear", align_corners=False)
    return large[0].numpy().transpose(1, 2, 0)
