"""Full-reference fidelity: PSNR, SSIM (Wang), MS-SSIM, L1, and the legacy protocols of published inpainting tables.

Pictures are H x W or H x W x C. Values lie in [0, `peak`], 255 unless said. Every function is symmetric in its pictures
unless it names one `truth`.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Array = np.ndarray

_RADIUS = 5
_KERNEL = np.exp(-np.arange(-_RADIUS, _RADIUS + 1) ** 2 / (2 * 1.5**2))
_KERNEL /= _KERNEL.sum()
_TILE = 128, 256
"""Windows a side that are measured at once: what the moments need stays in the processor's cache."""
_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def same_shape(a: Array, b: Array) -> None:
    """Raise `ValueError` unless both have the same shape."""
    if a.shape != b.shape:
        raise ValueError(f"The pictures have the shapes {a.shape} and {b.shape}; they must be equal.")


def mse(a: Array, b: Array) -> float:
    """Mean squared difference in float64."""
    same_shape(a, b)
    if a.dtype == b.dtype == np.uint8 and a.size:
        return round(cv2.norm(a, b, cv2.NORM_L2SQR)) / a.size  # a sum of whole numbers; OpenCV gives its root squared
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
    weights = np.array([[65.481, 128.553, 24.966]]) / 255.0
    return 16.0 + cv2.transform(rgb.astype(np.float64), weights)


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
    return ssim(luma(shaved(restored, border)), luma(shaved(truth, border)))


def _gaussian(plane: Array) -> Array:
    return cv2.sepFilter2D(plane, -1, _KERNEL, _KERNEL)


def _tile(a: Array, b: Array, peak: float, mean: Callable[[Array], Array], unbiased: float, luminance: bool) -> Array:
    """SSIM at each place of two planes of which `mean` makes local means, wrong where its window leaves them.

    With u = a + b and v = a - b, four means give all moments: su - sv = 4 cov(a, b), su + sv = 2 (var a + var b).
    float64, because in float32 su cancels where the pictures are nearly flat (errors beyond 1e-5).
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    u, v = a + b, np.subtract(a, b, out=a)
    mean_u, mean_v = mean(u), mean(v)
    u *= u
    v *= v
    var_u, var_v = mean(u), mean(v)
    mean_u *= mean_u
    mean_v *= mean_v
    var_u -= mean_u
    var_v -= mean_v
    if unbiased != 1:
        var_u *= unbiased
        var_v *= unbiased
    var_u += 2 * (0.03 * peak) ** 2
    values = np.subtract(var_u, var_v, out=u)
    var_u += var_v
    if luminance:
        mean_u += 2 * (0.01 * peak) ** 2
        values *= np.subtract(mean_u, mean_v, out=v)
        mean_u += mean_v
        var_u *= mean_u
    values /= var_u
    return values


def _inner_map(a: Array, b: Array, peak: float, radius: int = _RADIUS, mean: Callable[[Array], Array] = _gaussian,
               unbiased: float = 1.0, luminance: bool = True) -> Array:
    """SSIM (without `luminance`: its contrast-structure factor) of two planes at each place where the whole window lies
    in them: (H - 2 `radius`) x (W - 2 `radius`) float64. `unbiased` scales the variances."""
    rows, columns = (length - 2 * radius for length in a.shape)
    out = np.empty((rows, columns))
    for top in range(0, rows, _TILE[0]):
        for left in range(0, columns, _TILE[1]):
            seen = slice(top, top + _TILE[0] + 2 * radius), slice(left, left + _TILE[1] + 2 * radius)
            tile = _tile(a[seen], b[seen], peak, mean, unbiased, luminance)
            out[top : top + _TILE[0], left : left + _TILE[1]] = tile[radius:-radius, radius:-radius]
    return out


def _planes(a: Array, b: Array) -> list[tuple[Array, Array]]:
    """The channels of both pictures, pair by pair."""
    same_shape(a, b)
    return [(a, b)] if a.ndim == 2 else [(a[..., c], b[..., c]) for c in range(a.shape[2])]


def _large_enough(picture: Array) -> None:
    if min(picture.shape[:2]) < 2 * _RADIUS + 1:
        raise ValueError(f"SSIM needs pictures of at least 11 x 11 pixels; this one has the shape {picture.shape}.")


def ssim_map(a: Array, b: Array, peak: float = 255.0) -> Array:
    """The SSIM map, H x W float64, averaged over channels; at the border the window sees the picture mirrored."""
    _large_enough(a)

    def around(plane: Array) -> Array:
        return cv2.copyMakeBorder(plane, *(_RADIUS,) * 4, cv2.BORDER_REFLECT)

    planes = _planes(a, b)
    total = np.zeros(a.shape[:2])
    for x, y in planes:
        total += _inner_map(around(x), around(y), peak)
    return total / len(planes)


def ssim_of_map(values: Array) -> float:
    """`ssim` of the pictures that gave this `ssim_map`, for who needs both: the mean over the valid region."""
    return float(values[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS].mean())


def ssim(a: Array, b: Array, peak: float = 255.0) -> float:
    """SSIM (Wang et al. 2004): Gaussian window 11 x 11 with sigma 1.5, valid region, K1 0.01, K2 0.03, population
    moments, mean of the map, mean over channels. Equal to scikit-image's `structural_similarity(gaussian_weights=True,
    sigma=1.5, use_sample_covariance=False)` in float64 to 1e-10."""
    _large_enough(a)
    return float(np.mean([_inner_map(x, y, peak).mean() for x, y in _planes(a, b)]))


def _halved(plane: Array) -> Array:
    """Means of 2 x 2 blocks in float64; an odd side is continued by its last line."""
    rows, columns = plane.shape
    even = cv2.copyMakeBorder(plane.astype(np.float64), 0, rows % 2, 0, columns % 2, cv2.BORDER_REPLICATE)
    return cv2.resize(even, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


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
    for x, y in _planes(a, b):
        means = []
        for scale in range(scales):
            if scale:
                x, y = _halved(x), _halved(y)  # noqa: PLW2901 - the next scale
            means.append(max(float(_inner_map(x, y, peak, luminance=scale == scales - 1).mean()), 0.0))
        values.append(float(np.prod(np.power(means, exponents))))
    return float(np.mean(values))


def l1_percent(a: Array, b: Array, peak: float = 255.0) -> float:
    """Mean absolute difference in per cent of the peak."""
    same_shape(a, b)
    return float(100 * np.mean(np.abs(np.subtract(a, b, dtype=np.float64))) / peak)


def _grey(picture: Array) -> Array:
    """Grey in [0, 1] of 8-bit RGB with scikit-image's weights; of 8-bit grey, itself."""
    if picture.ndim == 3 and picture.shape[2] == 3:
        return cv2.transform(picture.astype(np.float64), np.array([[0.2125, 0.7154, 0.0721]]) / 255.0)
    return np.squeeze(picture) / 255.0


def ssim_edgeconnect(restored: Array, truth: Array) -> float:
    """EdgeConnect's SSIM of 8-bit pictures: grey, uniform window of 51 pixels, sample covariance. Not Wang's.

    Raises `ValueError` for sides below 51 pixels.
    """
    same_shape(restored, truth)
    return _ssim_of_51(_grey(restored), _grey(truth), 1.0)


def ssim_pen_net(restored: Array, truth: Array) -> float:
    """PEN-Net's SSIM of 8-bit pictures: as EdgeConnect's, but the mean over the three channels.

    Raises `ValueError` for sides below 51 pixels.
    """
    return float(np.mean([_ssim_of_51(a, b, 255.0) for a, b in _planes(restored, truth)]))


def _ssim_of_51(a: Array, b: Array, peak: float) -> float:
    side = 51
    if min(b.shape) < side:
        raise ValueError(f"EdgeConnect's and PEN-Net's SSIM need sides of at least {side} pixels, not {b.shape}.")
    return float(_inner_map(a, b, peak, side // 2, lambda plane: cv2.blur(plane, (side, side)),
                            side**2 / (side**2 - 1)).mean())


def mae_edgeconnect(restored: Array, truth: Array) -> float:
    """EdgeConnect's "MAE" of 8-bit pictures, a ratio: sum |a - b| / sum (a + b) on grey."""
    a, b = _grey(restored), _grey(truth)
    total = float(np.sum(a + b))
    return float(np.sum(np.abs(a - b)) / total) if total else 0.0
