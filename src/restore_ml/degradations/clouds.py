"""Clouds over multi-band scenes of two dates: a procedural scene, simulated clouds and gaps, and a detector.

Reflectances are float32 in [0, 1], H x W x B; masks H x W uint8, 1 = cloud, shadow or gap. Definitions: the method
card, part 5. The procedural scenes stand for co-registered pairs of satellite scenes and are always labelled synthetic.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from restore_ml.seeds import generator

Rng = np.random.Generator

CLASSES = 6
STEP = 1e-4
"""Reflectances are whole numbers of 1/10000, as in digital numbers of real products."""
SHADOW = (12, 9)
"""Rows and columns from a cloud to its simulated shadow."""
SHADE = 0.3
"""The share of its light that shaded ground keeps."""
CLOUD = {0.49: 0.40, 0.56: 0.41, 0.665: 0.42, 0.842: 0.45, 1.61: 0.38, 2.19: 0.28}
"""Micrometres -> reflectance of a thin water cloud, the method card's pixel."""
NEAREST, FARTHEST = 5, 40
"""Pixels from a cloud to its shadow, where neither heights nor the sun's angle are known."""
RIM = 3
"""Pixels over which a cloud becomes opaque."""
COVERS = np.array([[0.04, 0.08, 0.05, 0.42, 0.20, 0.09],   # forest
                   [0.05, 0.10, 0.08, 0.34, 0.26, 0.15],   # meadow
                   [0.12, 0.17, 0.22, 0.30, 0.36, 0.32],   # bare soil
                   [0.07, 0.07, 0.04, 0.02, 0.01, 0.005],  # water
                   [0.09, 0.13, 0.17, 0.24, 0.28, 0.22],   # dry grass
                   [0.03, 0.06, 0.04, 0.48, 0.22, 0.10]])  # crop
"""Reflectances of six land covers in the bands `restore_ml.data.bands.LAND`: soil and water as in the method card, and
forest but for its near infrared, of which the card has 0.45."""
SOIL, OPEN_WATER = 2, 3
TOWN, TOWNS = (0.13, 0.15, 0.16, 0.22, 0.23, 0.20), 0.03
"""What streets and dark roofs reflect, and the share of a scene that towns take (none of its water)."""
ROOF, ROOFS = (0.24, 0.25, 0.26, 0.28, 0.30, 0.28), 0.15
"""What pale roofs reflect (the method card's pixel), and the share that they take of a town."""


def digital(reflectance: np.ndarray) -> np.ndarray:
    """Clipped to [0, 1] and rounded to steps of 1/10000: float32, the same bytes on every machine."""
    return (np.clip(reflectance, 0, 1) / STEP).round().astype(np.float32) / np.float32(1 / STEP)


def field(height: int, width: int, rng: Rng, parts: dict[float, float]) -> np.ndarray:
    """A sum of smoothed Gaussian noises: `parts` maps sigma in pixels to weight; each has unit deviation first."""
    total = np.zeros((height, width))
    for sigma, weight in parts.items():
        noise = ndimage.gaussian_filter(rng.standard_normal((height, width)), sigma, mode="wrap")
        total += weight * noise / noise.std()
    return total


def scene(seed: int, index: int, size: int = 128, bands: int = 4, changed: float = 0.03) -> dict[str, np.ndarray]:
    """A co-registered pair of dates without clouds.

    Returns `target` and `reference` (size x size x bands float32 reflectance) and `labels` (size x size x 1 uint8: the
    land cover class 0 to 5, plus 100 where the land was harvested between the dates and the reference tells nothing).
    Each class changes by a gain in U(0.6, 1.5) and an offset in U(-0.06, 0.12) a band. `changed`: share of harvested
    pixels (the card: 2 to 5 %).
    """
    rng = generator("scene", seed, index, size, bands)
    labels = np.argmax([field(size, size, rng, {6: 1.0, 2: 0.5}) for _ in range(CLASSES)], axis=0)
    spectra = rng.uniform(0.05, 0.45, (CLASSES, bands))
    gain, offset = rng.uniform(0.6, 1.5, (CLASSES, bands)), rng.uniform(-0.06, 0.12, (CLASSES, bands))
    texture = np.stack([0.03 * field(size, size, rng, {1: 1.0}) + 0.02 * field(size, size, rng, {20: 1.0})
                        for _ in range(bands)], axis=2)
    reference = spectra[labels] + texture
    target = reference * gain[labels] + offset[labels]
    harvest = simulated_cloud(size, size, rng, changed, {5: 1.0}).astype(bool)
    target[harvest] = rng.uniform(0.05, 0.45, bands) + texture[harvest][:, ::-1]
    dates = []
    for clean in (target, reference):
        blurred = ndimage.gaussian_filter(clean, (0.6, 0.6, 0))
        dates.append(digital(blurred + 0.004 * rng.standard_normal(clean.shape)))
    return {"target": dates[0], "reference": dates[1], "labels": (labels + 100 * harvest).astype(np.uint8)[..., None]}


def land(labels: np.ndarray, rng: Rng) -> np.ndarray:
    """A scene of the six bands `restore_ml.data.bands.LAND` of these classes of land (H x W, 0 to 5; harvested ones,
    from 100 on, are soil): H x W x 6 float32.

    `scene` draws spectra at random, and no land looks like that: what tells clouds from land by colour can only be
    tried on land that has its own. A few towns with pale roofs stand on it. Each pixel is brighter or darker by texture
    of 8 % and slow changes of 5 %.
    """
    height, width = labels.shape
    covers = np.where(labels >= 100, SOIL, labels % len(COVERS))
    spectra = COVERS[covers]
    towns, roofs = (field(height, width, rng, {sigma: 1.0}) for sigma in (4, 1))
    town = (towns >= np.quantile(towns, 1 - TOWNS)) & (covers != OPEN_WATER)
    spectra[town] = TOWN
    if town.any():
        spectra[town & (roofs >= np.quantile(roofs[town], 1 - ROOFS))] = ROOF
    light = 1 + 0.08 * field(height, width, rng, {1: 1.0}) + 0.05 * field(height, width, rng, {20: 1.0})
    blurred = ndimage.gaussian_filter(spectra * light[..., None], (0.6, 0.6, 0))
    return digital(blurred + 0.004 * rng.standard_normal(spectra.shape))


def simulated_cloud(height: int, width: int, rng: Rng, frac: float,
                    parts: dict[float, float] | None = None) -> np.ndarray:
    """A cloud mask that covers exactly `frac` of the pixels (to one pixel): the top of a smooth random field.

    Lengths are the card's, in pixels: noise of sigma 14, 0.6 of sigma 6 and 0.3 of sigma 3, not scaled with the scene.
    """
    heights = field(height, width, rng, parts or {14: 1.0, 6: 0.6, 3: 0.3})
    mask = np.zeros(height * width, np.uint8)
    mask[np.argsort(-heights.ravel(), kind="stable")[:round(frac * mask.size)]] = 1
    return mask.reshape(height, width)


def soft_rim(mask: np.ndarray, radius: int = 3) -> np.ndarray:
    """The mask grown by `radius` pixels, for the half-transparent rim of a cloud."""
    if not radius:  # which scipy takes for: until nothing changes
        return (mask > 0).astype(np.uint8)
    return ndimage.binary_dilation(mask, iterations=radius).astype(np.uint8)


def with_shadow(mask: np.ndarray, shift: tuple[int, int] = SHADOW) -> np.ndarray:
    """Cloud and its shadow: the mask and the mask moved by `shift` rows and columns (what leaves the scene is lost)."""
    return mask | shifted(mask, *shift)


def shifted(mask: np.ndarray, down: int, right: int) -> np.ndarray:
    """The mask moved by whole pixels, zeros coming in."""
    moved = np.zeros_like(mask)
    (to_y, from_y), (to_x, from_x) = (_overlap(*pair) for pair in zip(mask.shape, (down, right), strict=True))
    moved[to_y, to_x] = mask[from_y, from_x]
    return moved


def _overlap(length: int, shift: int) -> tuple[slice, slice]:
    """Where in the moved axis the old values come to lie, and which they are."""
    kept = max(0, length - abs(shift))
    low = min(length, abs(shift))
    return (slice(low, low + kept), slice(kept)) if shift > 0 else (slice(kept), slice(low, low + kept))


def cover(reflectance: np.ndarray, cloud: np.ndarray, rng: Rng, shadow: np.ndarray | None = None) -> np.ndarray:
    """The scene as a sensor sees it: opaque white cloud (0.8 to 1.0) over it, and shadow at 0.3 of its light.

    What lies under the cloud is overwritten: no value of the truth is left there.
    """
    height, width, bands = reflectance.shape
    seen = reflectance.astype(np.float32, copy=True)
    if shadow is not None:
        seen[shadow > 0] *= np.float32(SHADE)
    brightness = field(height, width, rng, {4: 1.0})
    brightness = 0.8 + 0.2 * (brightness - brightness.min()) / np.ptp(brightness)
    seen[cloud > 0] = np.repeat(brightness[cloud > 0][:, None], bands, axis=1)
    return digital(seen)


def opacity(cloud: np.ndarray, rng: Rng, thick: bool) -> np.ndarray:
    """How much of the ground a cloud hides: H x W in [0, 1], 0 outside of the mask `cloud`.

    A thick cloud hides all, a thin one 0.3 to 0.6 uneven as clouds are; both grow in over their outermost
    `RIM` pixels, all of which belong to the mask.
    """
    height, width = cloud.shape
    heights = field(height, width, rng, {4: 1.0})
    body = 1.0 if thick else 0.3 + 0.3 * (heights - heights.min()) / np.ptp(heights)
    inside = ndimage.distance_transform_cdt(np.pad(cloud, RIM + 1, mode="edge"), "taxicab")
    inside = inside[RIM + 1:-RIM - 1, RIM + 1:-RIM - 1]  # a cloud that leaves the scene has no rim there
    return np.asarray(body * np.minimum(inside / (RIM + 1), 1.0))


def veil(reflectance: np.ndarray, wavelengths: np.ndarray, hides: np.ndarray, rng: Rng,
         shade: np.ndarray | None = None) -> np.ndarray:
    """The scene under clouds that hide the share `hides` (H x W) of it and shade the share `shade`.

    Clouds have the spectrum `CLOUD`, 1 to 1.6 times as bright, at the bands' `wavelengths` (micrometres); shaded ground
    keeps `SHADE` of its light. Where a cloud hides all, nothing of the truth is left; where nothing is hidden or
    shaded, the scene is as it was.
    """
    height, width, _ = reflectance.shape
    shade = np.zeros((height, width)) if shade is None else shade
    ground = reflectance * (1 - (1 - SHADE) * shade[..., None])
    bright = field(height, width, rng, {4: 1.0})
    bright = 1 + 0.6 * (bright - bright.min()) / np.ptp(bright)
    cloud = bright[..., None] * np.interp(wavelengths, list(CLOUD), list(CLOUD.values()))
    seen = digital((1 - hides[..., None]) * ground + hides[..., None] * cloud)
    return np.where((hides + shade > 0)[..., None], seen, reflectance.astype(np.float32))


def away_from(azimuth: float) -> np.ndarray:
    """The direction in which shadows fall under a sun at that azimuth (degrees from north, over east): a unit vector of
    rows and columns, north being up.

    >>> away_from(180.0).round(3), away_from(90.0).round(3)  # from the south to the north, from the east to the west
    (array([-1., -0.]), array([ 0., -1.]))
    """
    angle = np.radians(azimuth)
    return np.array([np.cos(angle), -np.sin(angle)])


def snow(reflectance: np.ndarray, ground: np.ndarray, rng: Rng) -> np.ndarray:
    """Opaque, textured snow on the ground where `ground` is 1: 0.7 to 0.9, darker towards the last band."""
    height, width, bands = reflectance.shape
    texture = np.clip(0.8 + 0.03 * field(height, width, rng, {1: 1.0}), 0.7, 0.9)
    seen = reflectance.astype(np.float32, copy=True)
    seen[ground > 0] = texture[ground > 0][:, None] * np.linspace(1.0, 0.9, bands)
    return digital(seen)


def detect_clouds(reflectance: np.ndarray, sun: tuple[float, float] | None = SHADOW, blue: int = 0, red: int = 2,
                  nir: int = 3, grow: int = 3) -> np.ndarray:
    """A small detector in the manner of Fmask: H x W uint8, 0 clear, 2 shadow, 4 cloud (Fmask's own codes).

    Cloud: the mean of the visible bands is above 0.25, whiteness below 0.7 and blue - 0.5 red above 0.08; components
    of fewer than 9 pixels are dropped, the rest grown by `grow` pixels. Shadow: near infrared below 0.12 within 5 to 40
    pixels of a cloud in the direction `sun` (rows, columns; None: no shadows). reading: a simplified basic test; bands
    are blue, green, red and near infrared by default.
    """
    visible = reflectance[..., blue:red + 1]
    mean = visible.mean(axis=2)
    whiteness = np.abs(visible - mean[..., None]).sum(axis=2) / np.maximum(mean, 1e-6)
    cloud = (mean > 0.25) & (whiteness < 0.7) & (reflectance[..., blue] - 0.5 * reflectance[..., red] - 0.08 > 0)
    parts, _ = ndimage.label(cloud, structure=np.ones((3, 3)))
    cloud &= np.bincount(parts.ravel())[parts] >= 9
    cloud = soft_rim(cloud, grow) > 0
    reach = np.zeros(cloud.shape, np.uint8)
    if sun is not None:
        unit = np.array(sun) / np.hypot(*sun)
        for distance in range(NEAREST, FARTHEST + 1):
            down, right = (unit * distance).round().astype(int)
            reach |= shifted(cloud.astype(np.uint8), down, right)
    shadow = (reflectance[..., nir] < 0.12) & (reach > 0) & ~cloud
    return (4 * cloud + 2 * shadow).astype(np.uint8)
