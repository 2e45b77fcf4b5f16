"""Corruptions that change what is seen instead of hiding it: mosaic, highlight, haze, rain, noise, blur, old photos.

Pictures are H x W x 3 uint8. `mosaic` and `highlight` act under a mask and return (picture, mask H x W uint8); those in
`DENSE` act everywhere and return (picture, truth), where the truth differs from the given picture only for an old
photograph turned grey. Lengths scale with s = min(H, W) / 256. Definitions: the method card, 1.3.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from restore_ml.degradations.blur import convolve, gaussian_blur, motion_blur, motion_kernel
from restore_ml.degradations.masks import Rng, length_scale, pixels
from restore_ml.degradations.noise import gaussian_noise, jpeg, salt_and_pepper, speckle

Pair = tuple[np.ndarray, np.ndarray]

SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])


def to_bytes(image: np.ndarray) -> np.ndarray:
    """[0, 1] floats to uint8, clipped and rounded."""
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def _unit(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float64) / 255


def mosaic(image: np.ndarray, rng: Rng) -> Pair:
    """A rectangle of 5 to 20 % of the area replaced by the means of blocks of 8 s pixels."""
    height, width = image.shape[:2]
    block = pixels(8 * length_scale(height, width), 2)
    area, shape = rng.uniform(0.05, 0.2) * height * width, rng.uniform(0.5, 2)
    rows, columns = int(min(height, np.sqrt(area * shape))), int(min(width, np.sqrt(area / shape)))
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    seen, mask = image.copy(), np.zeros((height, width), np.uint8)
    mask[top:top + rows, left:left + columns] = 1
    for y in range(top, top + rows, block):
        for x in range(left, left + columns, block):
            part = seen[y:min(y + block, top + rows), x:min(x + block, left + columns)]
            part[:] = np.rint(part.mean(axis=(0, 1)))
    return seen, mask


def highlight(image: np.ndarray, rng: Rng) -> Pair:
    """1 to 3 elliptical glares a exp(-d^2), a in U(0.6, 1), added; the mask is where more than 0.2 was added."""
    height, width = image.shape[:2]
    s = length_scale(height, width)
    glare = np.zeros((height, width))
    for _ in range(int(rng.integers(1, 4))):
        y, x = (np.arange(length) - rng.uniform(0.1, 0.9) * length for length in (height, width))
        angle, (a, b) = rng.uniform(0, np.pi), rng.uniform(10 * s, 40 * s, size=2)
        u = x[None] * np.cos(angle) + y[:, None] * np.sin(angle)
        v = -x[None] * np.sin(angle) + y[:, None] * np.cos(angle)
        glare += rng.uniform(0.6, 1.0) * np.exp(-(u / a) ** 2 - (v / b) ** 2)
    return to_bytes(_unit(image) + glare[..., None]), (glare > 0.2).astype(np.uint8)


def haze(image: np.ndarray, rng: Rng) -> Pair:
    """y = x t + A (1 - t), t = exp(-beta d), over a depth made of a ramp and smooth noise in equal shares."""
    height, width = image.shape[:2]
    noise = cv2.GaussianBlur(rng.standard_normal((height, width)), (0, 0), height / 8)
    noise = (noise - noise.min()) / np.ptp(noise)
    depth = np.linspace(0, 1, height)[:, None] + noise
    depth = (depth - depth.min()) / np.ptp(depth)
    light = rng.uniform(0.7, 1.0) + rng.uniform(-0.02, 0.02, size=3)
    through = np.exp(-rng.uniform(0.6, 1.8) * depth)[..., None]
    return to_bytes(_unit(image) * through + light * (1 - through)), image


def rain(image: np.ndarray, rng: Rng, heavy: bool = False) -> Pair:
    """Streaks: seeds of density U(0.004, 0.02) drawn out to 7 to 21 s pixels at 60 to 120 degrees, gain U(0.5, 1).

    `heavy` adds a second layer and a veil 0.9 y + 0.1. A streak keeps the brightness of its seed along its length.
    """
    height, width = image.shape[:2]
    s = length_scale(height, width)
    seen = _unit(image)
    for _ in range(2 if heavy else 1):
        seeds = (rng.random((height, width)) < rng.uniform(0.004, 0.02)).astype(np.float64)
        kernel = motion_kernel(max(3, rng.uniform(7, 21) * s), rng.uniform(60, 120))
        streaks = np.minimum(convolve(seeds, kernel / kernel.max()), 1)
        seen = np.clip(seen + (rng.uniform(0.5, 1) * streaks)[..., None], 0, 1)
    return to_bytes(0.9 * seen + 0.1 if heavy else seen), image


def noise(image: np.ndarray, rng: Rng) -> Pair:
    """Gaussian noise of deviation 15, 25 or 50 grey levels."""
    return gaussian_noise(image, float(rng.choice([15, 25, 50])), rng), image


def blur(image: np.ndarray, rng: Rng) -> Pair:
    """Motion blur along a line of 5 to 15 s pixels in any direction."""
    length = max(3, rng.uniform(5, 15) * length_scale(*image.shape[:2]))
    return motion_blur(image, length, rng.uniform(0, 180)), image


def old_photo(image: np.ndarray, rng: Rng, ageing: bool = True) -> Pair:
    """The unstructured damage of old photographs: blur, noise, resampling and JPEG in random order, each with p = 0.7.

    With p = 0.1 the picture and its truth are grey. `ageing` adds a sepia tone U(0, 0.6) and a contrast of U(0.5, 0.9).
    reading: the ageing is ours, for the looks of synthetic pictures; the rest is the released degradation.
    """
    if rng.random() < 0.1:
        grey = to_bytes(_unit(image) @ np.array([0.299, 0.587, 0.114]))
        image = np.repeat(grey[..., None], 3, axis=2)
    seen = image
    steps = (_soften, _grain, _resample, _compress)
    for number in rng.permutation(len(steps)):
        if rng.random() < 0.7:
            seen = steps[number](seen, rng)
    if ageing:
        tone, contrast = rng.uniform(0, 0.6), rng.uniform(0.5, 0.9)
        toned = (1 - tone) * _unit(seen) + tone * np.clip(_unit(seen) @ SEPIA.T, 0, 1)
        seen = to_bytes(0.5 + contrast * (toned - 0.5))
    return seen, image


def _soften(image: np.ndarray, rng: Rng) -> np.ndarray:
    return gaussian_blur(image, rng.uniform(1, 5), int(rng.choice([3, 5, 7])))


def _grain(image: np.ndarray, rng: Rng) -> np.ndarray:
    kind, deviation = int(rng.integers(3)), rng.uniform(5, 50)
    if kind == 2:
        return salt_and_pepper(image, rng.uniform(0, 0.01), rng, rng.uniform(0.3, 0.8))
    # Speckle is relative: a deviation in grey levels of a white pixel.
    return gaussian_noise(image, deviation, rng) if kind == 0 else speckle(image, deviation / 255, rng)


def _resample(image: np.ndarray, rng: Rng) -> np.ndarray:
    height, width = image.shape[:2]
    rows, columns = (max(1, round(length * rng.uniform(0.5, 1))) for length in (height, width))
    small = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_CUBIC)
    back = cv2.INTER_NEAREST if rng.integers(2) else cv2.INTER_LINEAR
    return cv2.resize(small, (width, height), interpolation=back)


def _compress(image: np.ndarray, rng: Rng) -> np.ndarray:
    """JPEG of quality 40 to 95, the top of the encoder's scale (the release: 40 to 100)."""
    return jpeg(image, int(rng.integers(40, 96)))


DENSE: dict[str, Callable[[np.ndarray, Rng], Pair]] = {
    "haze": haze, "rain": rain, "noise": noise, "blur": blur, "old_photo": old_photo,
}
"""Corruptions of the whole picture by name."""
