"""Full-reference fidelity: PSNR, SSIM (Wang), MS-SSIM, L1, and the legacy protocols of published inpainting tables.

Pictures are H x W or H x W x C. Values lie in [0, `peak`], 255 unless said. Every function is symmetric in its pictures
unless it names one `truth`.
"""

from __future__ import annotations

import cv2
import numpy as np

Array = np.ndarray

_RADIUS = 5
_KERNEL = np.exp(-np.arange(-_RADIUS, _RADIUS + 1) ** 2 / (2 * 1.5**2))
_KERNEL /= _KERNEL.sum()
_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def same_shape(a: Array, b: Array) -> None:
    """Raise `ValueError` unless both have the same shape."""
    if a.shape != b.shape:
        raise ValueError(f"The pictures have the shapes {a.shape} and {b.shape}; they must be equal.")


def mse(a: Array, b: Array) -> float:
    """Mean squared difference in float64."""
    same_shape(a, b)
    difference = np.subtract(a, b, dtype=np.float64)
    return float(np.mean(np.square(difference, out=difference)))


def decibel(error: float, peak: float) -> float:
    """`10 log10(peak^2 / error)`; `inf` for an error of 0."""
    return float("inf") if error == 0 else float(10 * np.log10(peak * peak / error))


def psnr(a: Array, b: Array, peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio in dB over all channels; `inf` for identical pictures."""
    return decibel(mse(a, b), peak)


def luma(rgb: Array) -> Array:
    """BT.601 studio-swing luma of 8-bit RGB, H x W float64 in [16, 235], not rounded (MATLAB's `rgb2ycbcr`)."""
    return 16.0 + rgb.astype(np.float64) @ (np.array([65.481, 128.553, 24.966]) / 255.0)


def shaved(picture: Array, border: int) -> Array:
    """The picture without `border` pixels on each side; `ValueError` when nothing would be left."""
    if border < 0 or min(picture.shape[:2]) <= 2 * border:
        raise ValueError(f"A border of {border} pixels leaves nothing of a picture of shape {picture.shape}.")
    return picture[border : picture.shape[0] - border, border : picture.shape[1] - border]


def psnr_y(restored: Array, truth: Array, border: int) -> float:
    """PSNR in dB on the unrounded luma of 8-bit RGB pictures, `border` pixels shaved from each side (the scale)."""
    same_shape(restored, truth)
    return psnr(luma(shaved(restored, border)), luma(shaved(truth, border)))


def ssim_y(restored: Array, truth: Array, border: int) -> float:
    """SSIM (Wang) on the luma of 8-bit RGB pictures, `border` pixels shaved from each side."""
    same_shape(restored, truth)
    return ssim(luma(shaved(restored, border)).astype(np.float32), luma(shaved(truth, border)).astype(np.float32))


def _maps(a: Array, b: Array, peak: float) -> tuple[Array, Array]:
    """SSIM map and its contrast-structure factor for two H x W planes of one float dtype, full size.

    With u = a + b and v = a - b, four blurs give all moments: su - sv = 4 cov(a, b), su + sv = 2 (var a + var b). In
    float32 the rounding of su cancels where a and b agree, which keeps the mean within 1e-5 of float64.
    """
    def blur(plane: Array) -> Array:
        return cv2.sepFilter2D(plane, -1, _KERNEL, _KERNEL, borderType=cv2.BORDER_REFLECT)

    u, v = a + b, a - b
    centre = u.dtype.type(u.mean(dtype=np.float64))
    u -= centre
    mean_u, mean_v = blur(u), blur(v)
    u *= u
    v *= v
    var_u, var_v = blur(u), blur(v)
    var_u -= mean_u * mean_u
    mean_v *= mean_v
    var_v -= mean_v
    mean_u += centre
    mean_u *= mean_u
    mean_u += u.dtype.type(2 * (0.01 * peak) ** 2)
    var_u += u.dtype.type(2 * (0.03 * peak) ** 2)
    structure = (var_u - var_v) / (var_u + var_v)
    luminance = (mean_u - mean_v) / (mean_u + mean_v)
    luminance *= structure
    return luminance, structure


def _planes(a: Array, b: Array) -> tuple[list[Array], list[Array]]:
    """The channels of both pictures in one float dtype: float32 for uint8 and float32 pictures, else float64."""
    same_shape(a, b)
    small = all(value.dtype in (np.uint8, np.float32) for value in (a, b))
    dtype = np.float32 if small else np.float64

    def split(picture: Array) -> list[Array]:
        channels = picture[..., None] if picture.ndim == 2 else picture
        return [np.ascontiguousarray(channels[..., c], dtype=dtype) for c in range(channels.shape[2])]

    return split(a), split(b)


def _large_enough(picture: Array) -> None:
    if min(picture.shape[:2]) < 2 * _RADIUS + 1:
        raise ValueError(f"SSIM needs pictures of at least 11 x 11 pixels; this one has the shape {picture.shape}.")


def ssim_map(a: Array, b: Array, peak: float = 255.0) -> Array:
    """The SSIM map, H x W, averaged over channels; at the border the window sees the picture mirrored."""
    _large_enough(a)
    maps = [_maps(x, y, peak)[0] for x, y in zip(*_planes(a, b), strict=True)]
    return np.asarray(np.mean(maps, axis=0, dtype=np.float64))


def _inner(values: Array) -> float:
    """The mean over the places where the whole window lies in the picture ('valid')."""
    return float(values[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS].mean(dtype=np.float64))


def ssim(a: Array, b: Array, peak: float = 255.0) -> float:
    """SSIM (Wang et al. 2004): Gaussian window 11 x 11 with sigma 1.5, valid region, K1 0.01, K2 0.03, population
    moments, mean of the map, mean over channels. Equal to scikit-image's `structural_similarity(gaussian_weights=True,
    sigma=1.5, use_sample_covariance=False)`: to 1e-5 for uint8 and float32, to 1e-10 for float64."""
    _large_enough(a)
    return float(np.mean([_inner(_maps(x, y, peak)[0]) for x, y in zip(*_planes(a, b), strict=True)]))


def _halved(plane: Array) -> Array:
    """Means of 2 x 2 blocks; an odd side is continued by its last line."""
    rows, columns = plane.shape
    even = np.pad(plane, ((0, rows % 2), (0, columns % 2)), mode="edge")
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / even.dtype.type(4)


def ms_ssim(a: Array, b: Array, peak: float = 255.0, scales: int = 5) -> float:
    """Multi-scale SSIM (Wang et al. 2003): contrast-structure at all scales, full SSIM at the coarsest.

    `scales` below 5 takes the first exponents renormalised (`ms_ssim3` for small pictures: name it so). Negative means
    count as 0. Raises `ValueError` when the coarsest picture has a side below 11 (5 scales: 161).
    """
    exponents = np.array(_EXPONENTS[:scales]) / (1.0 if scales == 5 else sum(_EXPONENTS[:scales]))
    least = 10 * 2 ** (scales - 1) + 1
    if min(a.shape[:2]) < least:
        raise ValueError(f"MS-SSIM with {scales} scales needs sides of at least {least} pixels, not {a.shape[:2]}.")
    values = []
    for x, y in zip(*_planes(a, b), strict=True):
        means = []
        for scale in range(scales):
            full, structure = _maps(x, y, peak)
            means.append(max(_inner(full if scale == scales - 1 else structure), 0.0))
            x, y = _halved(x), _halved(y)  # noqa: PLW2901 - the next scale
        values.append(float(np.prod(np.power(means, exponents))))
    return float(np.mean(values))


def l1_percent(a: Array, b: Array, peak: float = 255.0) -> float:
    """Mean absolute difference in per cent of the peak."""
    same_shape(a, b)
    return float(100 * np.mean(np.abs(np.subtract(a, b, dtype=np.float64))) / peak)


def _grey(picture: Array) -> Array:
    from skimage.color import rgb2gray

    return rgb2gray(picture) if picture.ndim == 3 and picture.shape[2] == 3 else np.squeeze(picture) / 255.0


def ssim_edgeconnect(restored: Array, truth: Array) -> float:
    """EdgeConnect's SSIM of 8-bit pictures: grey, uniform window of 51 pixels, sample covariance. Not Wang's."""
    from skimage.metrics import structural_similarity

    return float(structural_similarity(_grey(truth), _grey(restored), data_range=1, win_size=51))


def mae_edgeconnect(restored: Array, truth: Array) -> float:
    """EdgeConnect's "MAE" of 8-bit pictures, a ratio: sum |a - b| / sum (a + b) on grey."""
    a, b = _grey(restored), _grey(truth)
    total = float(np.sum(a + b))
    return float(np.sum(np.abs(a - b)) / total) if total else 0.0
