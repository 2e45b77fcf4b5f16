"""Noise and compression of 8-bit pictures (H x W or H x W x C, uint8 in and out), drawn from an explicit generator."""

from __future__ import annotations

import io
import math

import numpy as np

from restore_ml.base.errors import UserError


def gaussian_noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Add white Gaussian noise of standard deviation `sigma` grey levels to every channel; clip and round."""
    _check(image, "sigma", sigma, 0, 255)
    return _to_uint8(image + sigma * rng.standard_normal(image.shape))


def speckle(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Multiply by 1 + n with n Gaussian of standard deviation `sigma`; clip and round."""
    _check(image, "sigma", sigma, 0, 255)
    return _to_uint8(image * (1 + sigma * rng.standard_normal(image.shape)))


def salt_and_pepper(image: np.ndarray, amount: float, rng: np.random.Generator, salt: float = 0.5) -> np.ndarray:
    """Replace a pixel (all its channels) with probability `amount`: by 255 with probability `salt`, else by 0."""
    _check(image, "amount", amount, 0, 1)
    _check(image, "salt", salt, 0, 1)
    hit, white = rng.random(image.shape[:2]) < amount, rng.random(image.shape[:2]) < salt
    out = image.copy()
    out[hit & white] = 255
    out[hit & ~white] = 0
    return out


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Encode as JPEG (4:2:0 for colour) and decode again. `quality`: 1 to 95, Pillow's scale.

    The bits depend on the JPEG library that Pillow carries.
    """
    from PIL import Image

    _check(image, "quality", quality, 1, 95)
    if image.ndim == 3 and image.shape[2] not in (1, 3):
        raise UserError(f"JPEG takes 1 or 3 channels; the picture has {image.shape[2]}.")
    buffer = io.BytesIO()
    picture = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    picture.save(buffer, "JPEG", quality=int(quality), subsampling="4:2:0")
    with Image.open(buffer) as decoded:
        return np.asarray(decoded).reshape(image.shape).copy()


def _check(image: np.ndarray, name: str, value: float, least: float, most: float) -> None:
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise UserError(f"Noise is added to H x W or H x W x C pictures of uint8, not {image.dtype} of {image.shape}.")
    if not (math.isfinite(value) and least <= value <= most):
        raise UserError(f"The noise setting {name} is {value}; it must lie between {least} and {most}.")


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return np.floor(np.clip(values, 0, 255) + 0.5).astype(np.uint8)
