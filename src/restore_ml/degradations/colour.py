"""Colour spaces by their exact definitions, the three greys in use, and the way back from Lab to 8-bit RGB.

Every conversion takes a numpy array ... x 3 (channels last; integers are 8-bit values, floats lie in [0, 1]) or a
float tensor ... x 3 x H x W (channels first), keeps the float dtype (integers become float64) and is differentiable on
tensors. Source: method cards for colorization (1.1 to 1.3) and super-resolution (1.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from restore_ml.base.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")

XYZ_FROM_RGB = np.array([[0.412453, 0.357580, 0.180423],
                         [0.212671, 0.715160, 0.072169],
                         [0.019334, 0.119193, 0.950227]])
RGB_FROM_XYZ = np.linalg.inv(XYZ_FROM_RGB)
WHITE = (0.95047, 1.0, 1.08883)
"""D65, 2 degrees."""
YUV_FROM_RGB = np.array([[0.299, 0.587, 0.114], [-0.14714119, -0.28886916, 0.43601035],
                         [0.61497538, -0.51496512, -0.10001026]])
RGB_FROM_YUV = np.linalg.inv(YUV_FROM_RGB)
YCBCR_FROM_RGB = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]])
RGB_FROM_YCBCR = np.linalg.inv(YCBCR_FROM_RGB)
YCBCR_OFFSET = (16.0, 128.0, 128.0)

GREYS = ("lab_L", "y601", "mean")
GAMUTS = ("chroma", "clip")


def rgb_to_ycbcr(rgb: Array) -> Array:
    """BT.601 studio swing as MATLAB's rgb2ycbcr, unrounded: Y in [16, 235], Cb and Cr in [16, 240]."""
    channels, join = _split(rgb)
    return join([value + offset for value, offset in zip(_matrix(YCBCR_FROM_RGB, channels), YCBCR_OFFSET, strict=True)])


def ycbcr_to_rgb(ycbcr: Array) -> Array:
    """The inverse of `rgb_to_ycbcr`; RGB in [0, 1] for colours that exist, not clipped."""
    channels, join = _split(ycbcr, scaled=False)
    return join(_matrix(RGB_FROM_YCBCR, [value - offset for value, offset in zip(channels, YCBCR_OFFSET, strict=True)]))


def rgb_to_yuv(rgb: Array) -> Array:
    """BT.601 analogue YUV of gamma-encoded RGB: Y in [0, 1], |U| <= 0.43602, |V| <= 0.61498."""
    channels, join = _split(rgb)
    return join(_matrix(YUV_FROM_RGB, channels))


def yuv_to_rgb(yuv: Array) -> Array:
    """The inverse of `rgb_to_yuv`, not clipped."""
    channels, join = _split(yuv, scaled=False)
    return join(_matrix(RGB_FROM_YUV, channels))


def rgb_to_lab(rgb: Array) -> Array:
    """sRGB to CIE Lab (D65, 2 degrees): L in [0, 100], a in [-86.2, 98.3], b in [-107.9, 94.5]."""
    channels, join = _split(rgb)
    fx, fy, fz = (_lab_f(value / white) for value, white in
                  zip(_matrix(XYZ_FROM_RGB, [_linear(value) for value in channels]), WHITE, strict=True))
    return join([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


def lab_to_rgb(lab: Array) -> Array:
    """CIE Lab to sRGB, each channel clipped to [0, 1]: colours outside the gamut change their lightness (`fit_chroma`
    first keeps it)."""
    channels, join = _split(lab, scaled=False)
    return join([_encoded(value) for value in _linear_rgb(*channels)])


def grey(rgb: Array, kind: str) -> Array:
    """One of the three greys, without a channel axis: `lab_L` (Lab lightness in [0, 100]), `y601` (luma of the encoded
    values in [0, 1]) or `mean` (of R, G and B, in [0, 1]). They are not interchangeable.

    Raises `UserError` for another kind.
    """
    channels, _ = _split(rgb)
    if kind == "lab_L":
        return 116 * _lab_f(_matrix(XYZ_FROM_RGB[1:2], [_linear(value) for value in channels])[0]) - 16
    if kind == "y601":
        return _matrix(YUV_FROM_RGB[:1], channels)[0]
    if kind == "mean":
        return sum(channels[1:], channels[0]) / 3
    raise UserError(f"The grey {kind!r} is none of {', '.join(GREYS)}.")


def grey_from_lightness(lightness: Array) -> Array:
    """The grey value g in [0, 1] for which the colour (g, g, g) has that Lab lightness (in [0, 100]); any shape."""
    return _encoded(_lab_f_inverse((lightness + 16) / 116))


def fit_chroma(lightness: np.ndarray, ab: np.ndarray) -> np.ndarray:
    """Scale each ab towards grey just as far as its colour enters the sRGB gamut; lightness and hue stay.

    `lightness`: ... (in [0, 100]), `ab`: ... x 2, both numpy. Returns ab, float64; colours inside the gamut are
    returned as they are. Bisection over the chroma with 20 steps, linear RGB within [-1e-6, 1 + 1e-6] (method card for
    colorization, 1.2).
    """
    lightness, fitted = np.clip(np.asarray(lightness, np.float64), 0, 100), np.array(ab, np.float64)
    outside = ~_in_gamut(lightness, fitted[..., 0], fitted[..., 1])
    flat_l, flat_ab = lightness[outside], fitted[outside]
    low, high = np.zeros(len(flat_l)), np.ones(len(flat_l))
    for _ in range(20):
        middle = (low + high) / 2
        fits = _in_gamut(flat_l, middle * flat_ab[:, 0], middle * flat_ab[:, 1])
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    fitted[outside] = low[:, None] * flat_ab
    return fitted


def to_rgb8(lightness: np.ndarray, ab: np.ndarray, gamut: str = "chroma") -> np.ndarray:
    """Join lightness (H x W x 1 or H x W, in [0, 100]) and ab (H x W x 2) to an H x W x 3 uint8 picture.

    `gamut`: `chroma` keeps lightness and hue of colours outside sRGB (`fit_chroma`; 8-bit rounding then moves
    lightness by less than 0.25), `clip` cuts each channel as papers do (moves it by up to 20). Raises `UserError` for
    another name.
    """
    if gamut not in GAMUTS:
        raise UserError(f"The gamut mapping {gamut!r} is none of {', '.join(GAMUTS)}.")
    lightness = np.clip(np.asarray(lightness, np.float64).reshape(ab.shape[:-1]), 0, 100)
    colours = fit_chroma(lightness, ab) if gamut == "chroma" else np.asarray(ab, np.float64)
    return np.rint(lab_to_rgb(np.concatenate([lightness[..., None], colours], -1)) * 255).astype(np.uint8)


def _split(picture: Any, scaled: bool = True) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The three channels (integers as float64, `scaled` from 255 to 1) and the function that joins three again."""
    if isinstance(picture, np.ndarray):
        if picture.ndim < 1 or picture.shape[-1] != 3:
            raise UserError(f"A colour array must end in 3 channels; its shape is {picture.shape}.")
        if not np.issubdtype(picture.dtype, np.floating):
            picture = picture / 255 if scaled else picture.astype(np.float64)
        return [picture[..., number] for number in range(3)], lambda channels: np.stack(channels, -1)
    import torch

    if picture.ndim < 3 or picture.shape[-3] != 3 or not picture.is_floating_point():
        raise UserError(f"A colour tensor must be ... x 3 x H x W of floats; it is {picture.dtype} of "
                        f"{tuple(picture.shape)}.")
    return list(picture.unbind(-3)), lambda channels: torch.stack(channels, -3)


def _matrix(matrix: np.ndarray, channels: list[Any]) -> list[Any]:
    """Row by row, with Python floats, so that float32 stays float32."""
    return [row[0] * channels[0] + row[1] * channels[1] + row[2] * channels[2] for row in matrix.tolist()]


def _where(condition: Any, yes: Any, no: Any) -> Any:
    if isinstance(condition, np.ndarray | np.generic):
        return np.where(condition, yes, no)
    return yes.where(condition, no)


def _linear(value: Any) -> Any:
    """sRGB decoding. Each branch is evaluated inside its own range only, so that no gradient is NaN."""
    return _where(value > 0.04045, ((value.clip(min=0.04045) + 0.055) / 1.055) ** 2.4, value / 12.92)


def _encoded(value: Any) -> Any:
    """sRGB encoding of linear light, clipped to [0, 1]."""
    bright = 1.055 * value.clip(min=0.0031308) ** (1 / 2.4) - 0.055
    return _where(value > 0.0031308, bright, 12.92 * value).clip(0, 1)


def _lab_f(value: Any) -> Any:
    safe = value.clip(min=0.008856)
    root = np.cbrt(safe) if isinstance(safe, np.ndarray | np.generic) else safe ** (1 / 3)
    return _where(value > 0.008856, root, 7.787 * value + 16 / 116)


def _lab_f_inverse(value: Any) -> Any:
    return _where(value > 0.2068966, value**3, (value - 16 / 116) / 7.787)


def _linear_rgb(lightness: Any, a: Any, b: Any) -> list[Any]:
    """Linear RGB of a Lab colour, unclipped: outside [0, 1] when the colour lies outside sRGB."""
    fy = (lightness + 16) / 116
    fx, fz = fy + a / 500, (fy - b / 200).clip(min=0)
    return _matrix(RGB_FROM_XYZ, [_lab_f_inverse(f) * white for f, white in zip((fx, fy, fz), WHITE, strict=True)])


def _in_gamut(lightness: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    inside = np.ones(np.shape(lightness), bool)
    for value in _linear_rgb(lightness, a, b):
        inside &= (value >= -1e-6) & (value <= 1 + 1e-6)
    return inside
