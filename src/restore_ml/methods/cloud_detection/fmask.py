"""Fmask: clouds by a probability among what could be cloud, shadows by moving each cloud to where the ground is dark.

Zhu and Woodcock, "Object-based cloud and cloud shadow detection in Landsat imagery", Remote Sensing of Environment 118,
2012; Zhu, Wang and Woodcock, "Improvement and expansion of the Fmask algorithm", Remote Sensing of Environment 159,
2015, for Sentinel-2. Numbers in brackets are the equations of the first; the method card `fmask`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import cv2
import numpy as np
from scipy import ndimage

from restore_ml.arrays import Arrays
from restore_ml.data.bands import LAND, names_of, places
from restore_ml.degradations.clouds import FARTHEST, NEAREST, away_from, shifted
from restore_ml.degradations.masks import shape_disc
from restore_ml.method import Method, Model
from restore_ml.nn.named_bands import bands_by_colour
from restore_ml.tasks.cloud_detection.task import CLEAR, CLOUD, NOTHING, SHADOW, SNOW, WATER

SMALLEST = 1e-5
"""Reflectances at or below 0 count as this."""
LOW, HIGH = 17.5, 82.5
"""Percentiles of clear land (and clear water) that stand for it."""
KELVIN, FREEZING = 100, 273.15
"""Kelvin in a band `thermal`, whose digital numbers are hundredths of them, by what is read as its reflectance; and 0
degrees Celsius. Digital numbers are never negative, and the tops of clouds lie below freezing."""


@dataclass(frozen=True)
class Scene:
    """Reflectances at the top of the atmosphere, H x W each; `celsius` and `cirrus` where the sensor has such bands;
    `seen`: where anything was measured."""

    blue: np.ndarray
    green: np.ndarray
    red: np.ndarray
    nir: np.ndarray
    swir1: np.ndarray
    swir2: np.ndarray
    seen: np.ndarray
    cirrus: np.ndarray | None = None
    celsius: np.ndarray | None = None

    @classmethod
    def of(cls, bands: np.ndarray, names: Sequence[str]) -> Scene:
        """From H x W x B in any order of bands; what is 0 in all of them was not measured."""
        six = np.maximum(bands_by_colour(bands, names, LAND, "fmask"), SMALLEST)
        more = {name: bands[..., where[0]] for name in ("cirrus", "thermal") if (where := places(names, (name,)))}
        celsius = KELVIN * more["thermal"] - FREEZING if "thermal" in more else None
        return cls(**{name: six[..., place] for place, name in enumerate(LAND)}, seen=(bands != 0).any(axis=2),
                   cirrus=more.get("cirrus"), celsius=celsius)

    @cached_property
    def ndsi(self) -> np.ndarray:
        """The snow index, of green and short-wave infrared."""
        return (self.green - self.swir1) / (self.green + self.swir1)

    @cached_property
    def ndvi(self) -> np.ndarray:
        """The vegetation index, of near infrared and red."""
        return (self.nir - self.red) / (self.nir + self.red)

    @cached_property
    def whiteness(self) -> np.ndarray:
        """How far the visible bands lie from their mean, in units of it (2)."""
        visible = np.stack([self.blue, self.green, self.red])
        mean = visible.mean(axis=0)
        return np.asarray(np.abs(visible - mean).sum(axis=0) / mean)

    def colder(self, than: float) -> np.ndarray | bool:
        """Where it is colder; everywhere without a thermal band."""
        return True if self.celsius is None else self.celsius < than


def potential_cloud(scene: Scene) -> np.ndarray:
    """What the first pass takes for cloud until more is known (1-4, 6): H x W bool."""
    basic = (scene.swir2 > 0.03) & (scene.ndsi < 0.8) & (scene.ndvi < 0.8) & scene.colder(27)
    hazy = scene.blue - 0.5 * scene.red - 0.08 > 0
    potential = basic & (scene.whiteness < 0.7) & hazy & (scene.nir / scene.swir1 > 0.75)
    return potential if scene.cirrus is None else potential | (scene.cirrus > 0.01)


def water(scene: Scene) -> np.ndarray:
    """Water, also under thin cloud (5)."""
    return ((scene.ndvi < 0.01) & (scene.nir < 0.11)) | ((scene.ndvi < 0.1) & (scene.nir < 0.05))


def snow(scene: Scene) -> np.ndarray:
    """Snow (20)."""
    return (scene.ndsi > 0.15) & (scene.nir > 0.11) & (scene.green > 0.1) & scene.colder(3.8)


def temperatures(scene: Scene, clear_land: np.ndarray, clear_water: np.ndarray) -> tuple[float, float, float]:
    """T_water (8), T_low and T_high (13). Where no land or water is clear, all that is seen stands for it."""
    assert scene.celsius is not None
    on_land = scene.celsius[clear_land] if clear_land.any() else scene.celsius[scene.seen]
    on_water = scene.celsius[clear_water] if clear_water.any() else on_land
    low, high = np.percentile(on_land, (LOW, HIGH))
    return float(np.percentile(on_water, HIGH)), float(low), float(high)


def probabilities(scene: Scene, clear_land: np.ndarray, clear_water: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities of cloud over water (9-11) and over land (14-16), each H x W. Without a thermal band their
    factors of temperature are 1."""
    over_water = np.minimum(scene.swir1, 0.11) / 0.11
    over_land = 1 - np.maximum(np.maximum(np.abs(scene.ndvi), np.abs(scene.ndsi)), scene.whiteness)
    if scene.celsius is not None:
        of_water, low, high = temperatures(scene, clear_land, clear_water)
        over_water = over_water * (of_water - scene.celsius) / 4
        over_land = over_land * (high + 4 - scene.celsius) / (high - low + 8)
    return over_water, over_land if scene.cirrus is None else over_land + scene.cirrus / 0.04


def cloud_mask(scene: Scene, probability: float, least: float) -> np.ndarray:
    """Cloud after the second pass (17, 18): H x W bool, smoothed so that a pixel follows the majority of its 3 x 3.

    The threshold over land is the 82.5th percentile of the probability on clear land plus `probability`, or that alone
    where less than the share `least` of what is seen is clear land.
    """
    potential, wet = potential_cloud(scene), water(scene)
    clear_land = scene.seen & ~potential & ~wet
    clear_water = scene.seen & wet & (scene.swir2 < 0.03)
    over_water, over_land = probabilities(scene, clear_land, clear_water)
    enough = clear_land.any() and clear_land.sum() >= least * scene.seen.sum()
    threshold = probability + (np.percentile(over_land[clear_land], HIGH) if enough else 0.0)
    cloud = potential & np.where(wet, over_water > 0.5, over_land > threshold)
    if scene.celsius is not None:
        _, low, _ = temperatures(scene, clear_land, clear_water)
        cloud |= (~wet & (over_land > 0.99)) | (scene.celsius < low - 35)
    return smoothed(cloud & scene.seen) & scene.seen


def smoothed(mask: np.ndarray) -> np.ndarray:
    """Where at least 5 of the 3 x 3 pixels around are in the mask; beyond the edges it is mirrored."""
    return np.asarray(ndimage.correlate(mask.astype(np.int32), np.ones((3, 3), np.int32), mode="reflect") >= 5)


def potential_shadow(scene: Scene, level: float) -> np.ndarray:
    """Hollows of the near infrared that are deeper than 0.02: H x W bool.

    Hollows are filled as by water that runs off over the edges of the scene (and of what was not measured), where the
    ground is at `level`.
    """
    from skimage.morphology import reconstruction

    ground = np.pad(np.where(scene.seen, scene.nir, level), 1, constant_values=level)
    outside = np.pad(~scene.seen, 1, constant_values=True)
    filled = reconstruction(np.where(outside, ground, ground.max()), ground, method="erosion")[1:-1, 1:-1]
    return np.asarray((filled - scene.nir > 0.02) & scene.seen)


def shadow_mask(cloud: np.ndarray, dark: np.ndarray, azimuth: float, distances: Sequence[int],
                similarity: float) -> np.ndarray:
    """The shadows of the clouds: H x W bool.

    Each clump of cloud (8 neighbours) is moved away from the sun to where the largest share of it, of what is then in
    the scene and beside all clouds, falls on `dark` ground; its place is kept if that share is above `similarity`.
    """
    clumps, count = ndimage.label(cloud, structure=np.ones((3, 3)))
    found = np.zeros_like(cloud)
    for number in range(1, count + 1):
        clump, best = (clumps == number).astype(np.uint8), similarity
        place = np.zeros_like(cloud)
        for distance in distances:
            down, right = np.rint(distance * away_from(azimuth)).astype(int).tolist()
            moved = (shifted(clump, down, right) > 0) & ~cloud
            share = dark[moved].mean() if moved.any() else 0.0
            if share > best:
                best, place = share, moved
        found |= place
    return found


def grown(mask: np.ndarray, radius: int) -> np.ndarray:
    """The mask and all within `radius` pixels of it."""
    return cv2.dilate(mask.astype(np.uint8), shape_disc(radius)) > 0


class Fmask(Method):
    """Codes 0 clear land, 1 water, 2 shadow, 3 snow, 4 cloud and 255 nothing from six bands and more.

    Settings: `cloud_buffer`, `shadow_buffer` (pixels by which both are grown, 5 and 10 in python-fmask); `probability`
    and `least_land` (see `cloud_mask`); `similarity`, `nearest` and `farthest` (see `shadow_mask`, pixels). A band
    `thermal` holds hundredths of a kelvin as digital numbers. Shadows are looked for where the sun's azimuth is known.

    reading: neither heights of clouds nor the sun's elevation are known, so that a shadow lies 5 to 40 pixels from its
    cloud; clouds that are sure (land probability above 0.99) are taken where there is a thermal band alone, as
    Sentinel-2 has none.
    """

    task = "cloud_detection"
    paper: ClassVar = {"cloud_buffer": 5, "shadow_buffer": 10, "probability": 0.2, "least_land": 0.03,
                       "similarity": 0.3, "nearest": NEAREST, "farthest": FARTHEST}
    zero_allowed: ClassVar = ("cloud_buffer", "shadow_buffer")
    reading = "shadows within 5 to 40 pixels of their clouds, as neither heights nor the sun's elevation are known"
    inputs: ClassVar = ("azimuth",)

    def unsupported(self, degradation: str) -> str | None:
        """Scenes of four bands."""
        return "needs both bands of short-wave infrared" if degradation.endswith("_four_bands") else None

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`target` H x W x B float32, `bands` and perhaps `azimuth` -> `codes` H x W x 1; nothing random."""
        bands, setting = inputs["target"].astype(np.float64), self.settings
        scene = Scene.of(bands, names_of(inputs, bands.shape[2]))
        cloud = cloud_mask(scene, setting["probability"], setting["least_land"])
        shadow = np.zeros_like(cloud)
        if "azimuth" in inputs and cloud.any():
            land = scene.seen & ~potential_cloud(scene) & ~water(scene)
            level = float(np.percentile(scene.nir[land if land.any() else scene.seen], LOW))
            shadow = shadow_mask(cloud, potential_shadow(scene, level) & ~cloud, float(inputs["azimuth"][0]),
                                 range(setting["nearest"], setting["farthest"] + 1), setting["similarity"])
        codes = np.where(water(scene), WATER, CLEAR)
        codes[snow(scene)] = SNOW
        codes[grown(shadow, setting["shadow_buffer"])] = SHADOW
        codes[grown(cloud, setting["cloud_buffer"])] = CLOUD
        return {"codes": np.where(scene.seen, codes, NOTHING).astype(np.float32)[..., None]}


METHOD = Fmask
