"""A person's own picture in, a restored picture out: the tasks' inputs made from a photograph, and back.

The pictures of a comparison come from samples with a known truth; here there is none. Any size is taken.
"""

from __future__ import annotations

from copy import copy

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import rgb_to_lab, to_rgb8
from restore_ml.degradations.resize import imresize
from restore_ml.method import Method, Model
from restore_ml.restoring.harness import restore

COLOUR_SIDE = 256
"""Colour is predicted with the short side reduced to this, then enlarged and joined to the full-size lightness."""
FILL_TILE, FILL_OVERLAP = 1024, 128
"""Networks that fill holes at the picture's own size (`multiple` above 1) and name no tile get this one here, so that
memory does not grow with the picture."""
WHOLE_PIXELS = 4_000_000
"""Networks with instance normalisation fill windows of up to so many pixels in one piece: tiles with statistics of
their own leave seams (of up to 106 grey levels in edge_connect, of 1 when they share the whole window's)."""
STRIP = 2**19
"""Pixels whose colour space is changed at once."""
MOST_PIXELS = 178_956_970
"""The largest enlarged picture: Pillow, and what uses it, opens none that is larger."""


def restore_photo(method: Method, model: Model, picture: np.ndarray, mask: np.ndarray | None = None,
                  scale: int | None = None, seed: int = 1) -> np.ndarray:
    """Restore a photograph, H x W x C uint8 (C 1 or 3), of any size; returns H x W x 3 uint8.

    `mask`: H x W, nonzero = missing, for inpainting. `scale`: the factor of super-resolution (None: `default_scale`).
    Raises `UserError` for a picture that the task cannot take (no mask, a mask of another size or one that marks
    nothing or everything, satellite scenes).
    """
    picture = _three_channels(picture)
    if method.task == "super_resolution":
        return _super_resolution(method, model, picture, scale or default_scale(method), seed)
    if method.task == "inpainting":
        return _inpainting(method, model, picture, mask, seed)
    if method.task == "colorization":
        return _colorization(method, model, picture, seed)
    raise UserError(f"{method.task} takes scenes of several bands and dates, not photographs; "
                    "restore them with the pipeline.")


def default_scale(method: Method) -> int:
    """The factor of super-resolution where none is given: 2, or the smallest that the method can do."""
    return next((scale for scale in range(2, 17) if method.unsupported(f"x{scale}") is None), 2)


def _three_channels(picture: np.ndarray) -> np.ndarray:
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture


def _super_resolution(method: Method, model: Model, picture: np.ndarray, scale: int, seed: int) -> np.ndarray:
    reason = method.unsupported(f"x{scale}")
    if reason:
        raise UserError(f"This model cannot enlarge by {scale}: {reason}; give another --scale.")
    height, width = (side * scale for side in picture.shape[:2])
    if height * width > MOST_PIXELS:
        raise UserError(f"Enlarging by {scale} would make {width} x {height} pixels; at most {MOST_PIXELS} are made.")
    return restore(method, model, {"lr": picture, "scale": np.array(scale, np.int32)}, seed)["sr"]


def _sees_the_whole(model: Model) -> bool:
    """Whether a network normalises by the statistics of all that it sees, so that tiles would differ in tone."""
    from torch.nn import InstanceNorm2d

    return any(isinstance(module, InstanceNorm2d) for network in model.networks.values()
               for module in network.modules())


def _inpainting(method: Method, model: Model, picture: np.ndarray, mask: np.ndarray | None, seed: int) -> np.ndarray:
    if mask is None:
        raise UserError("Inpainting needs a mask: give --mask with a picture of the same size, white where to fill.")
    if mask.shape != picture.shape[:2]:
        raise UserError(f"The mask is {mask.shape[1]} x {mask.shape[0]}, the picture {picture.shape[1]} x "
                        f"{picture.shape[0]}; they must be of the same size.")
    hole = (mask != 0).astype(np.uint8)[:, :, None]
    if hole.all():
        raise UserError("The mask covers the whole picture; nothing is known from which to fill it.")
    if not hole.any():
        raise UserError("The mask marks nothing; there is nothing to fill.")
    sized = bool(model.arrays) and not method.trains  # what was fitted may belong to the whole picture
    if max(hole.shape) <= FILL_TILE or method.multiple == 1 or method.tile is not None or sized:
        seen = picture if method.sees_under_mask else picture * (1 - hole)
        return restore(method, model, {"image": seen, "mask": hole}, seed)["image"]
    return _large_inpainting(method, model, picture, hole, seed)


def _large_inpainting(method: Method, model: Model, picture: np.ndarray, hole: np.ndarray, seed: int) -> np.ndarray:
    """Tiled (see `WHOLE_PIXELS`), and only where there are holes: their bounding box with `FILL_TILE` / 2 around it."""
    window = tuple(slice(max(0, places[0] - FILL_TILE // 2), places[-1] + 1 + FILL_TILE // 2)
                   for places in (np.flatnonzero(hole.any(axis=(1, 2))), np.flatnonzero(hole.any(axis=(0, 2)))))
    inputs = {"image": picture[window] * (1 - hole[window]), "mask": hole[window]}
    tiled = copy(method)
    if inputs["mask"].size > WHOLE_PIXELS or not _sees_the_whole(model):
        tiled.tile, tiled.overlap = FILL_TILE, FILL_OVERLAP
    filled = picture.copy()
    filled[window] = restore(tiled, model, inputs, seed)["image"]
    return filled


def _colorization(method: Method, model: Model, picture: np.ndarray, seed: int) -> np.ndarray:
    height, width = picture.shape[:2]
    rows = max(1, STRIP // width)  # colour spaces take several floats a pixel, so they are changed strip by strip
    strips = [slice(top, top + rows) for top in range(0, height, rows)]
    lightness = np.empty((height, width, 1), np.float32)
    for strip in strips:
        lightness[strip] = rgb_to_lab(picture[strip].astype(np.float32) / 255.0)[:, :, :1]
    factor = min(1.0, COLOUR_SIDE / min(height, width))
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    small = np.clip(imresize(lightness, output_size=size), 0.0, 100.0).astype(np.float32)
    colour = restore(method, model, {"L": small}, seed)["ab"]
    large, coloured = _enlarge(colour, (height, width)), np.empty((height, width, 3), np.uint8)
    for strip in strips:
        coloured[strip] = to_rgb8(lightness[strip], large[strip])
    return coloured


def _enlarge(colour: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import torch

    tensor = torch.from_numpy(colour.transpose(2, 0, 1))[None]
    large = torch.nn.functional.interpolate(tensor, size, mode="bilinear", align_corners=False)
    return large[0].numpy().transpose(1, 2, 0)
