"""A person's own picture in, a restored picture out: the tasks' inputs made from a photograph, and back.

The pictures of a comparison come from samples with a known truth; here there is none. Any size is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from restore_ml.degradations.colour import lab_from_rgb, to_rgb8
from restore_ml.degradations.resize import imresize
from restore_ml.errors import UserError
from restore_ml.method import Method, Model
from restore_ml.restoration import restore

COLOUR_SIDE = 256
"""Colour is predicted with the short side reduced to this, then enlarged and joined to the full-size lightness."""


@dataclass(frozen=True)
class Request:
    """What a person gives: an 8-bit H x W x C picture, a mask of the holes (H x W, nonzero = missing), a scale."""

    picture: np.ndarray
    mask: np.ndarray | None = None
    scale: int | None = None


def restore_photo(method: Method, model: Model, request: Request, seed: int = 1) -> np.ndarray:
    """Restore a photograph; returns H x W x 3 uint8 (enlarged by the scale for super-resolution).

    Raises `UserError` for a picture that the task cannot take (no mask, a mask of another size, bands of a satellite).
    """
    if method.task not in _KINDS:
        raise UserError(f"{method.task} takes scenes of several bands and dates, not photographs; "
                        "restore them with the pipeline.")
    return _KINDS[method.task](method, model, request, seed)


def _three_channels(picture: np.ndarray) -> np.ndarray:
    picture = picture[:, :, None] if picture.ndim == 2 else picture
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture[:, :, :3]


def _super_resolution(method: Method, model: Model, request: Request, seed: int) -> np.ndarray:
    scale = request.scale or 2
    reason = method.unsupported(f"x{scale}")
    if reason:
        raise UserError(f"This model cannot enlarge by {scale}: {reason}; give another --scale.")
    inputs = {"lr": _three_channels(request.picture), "scale": np.array(scale, np.int32)}
    return restore(method, model, inputs, seed)["sr"]


def _inpainting(method: Method, model: Model, request: Request, seed: int) -> np.ndarray:
    picture = _three_channels(request.picture)
    if request.mask is None:
        raise UserError("Inpainting needs a mask: give --mask with a picture of the same size, white where to fill.")
    if request.mask.shape[:2] != picture.shape[:2]:
        raise UserError(f"The mask is {request.mask.shape[1]} x {request.mask.shape[0]}, the picture "
                        f"{picture.shape[1]} x {picture.shape[0]}; they must be of the same size.")
    mask = (request.mask.reshape(*picture.shape[:2], -1)[:, :, :1] > 127).astype(np.uint8)
    if mask.all():
        raise UserError("The mask covers the whole picture; nothing is known from which to fill it.")
    return restore(method, model, {"image": picture * (1 - mask), "mask": mask}, seed)["image"]


def _colorization(method: Method, model: Model, request: Request, seed: int) -> np.ndarray:
    lightness = lab_from_rgb(_three_channels(request.picture).astype(np.float32) / 255.0)[:, :, :1].astype(np.float32)
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


_KINDS: dict[str, Callable[[Method, Model, Request, int], np.ndarray]] = {
    "super_resolution": _super_resolution,
    "inpainting": _inpainting,
    "colorization": _colorization,
}
