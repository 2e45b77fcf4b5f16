"""How clouds and their shadows are laid over a scene, in training and in tests."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from restore_ml.arrays import text
from restore_ml.base.errors import UserError
from restore_ml.data.bands import LAND, names_of, wavelength, whole
from restore_ml.data.scenes import BAND_BYTES
from restore_ml.data.shards import Record
from restore_ml.degradations import clouds
from restore_ml.tasks.base import Sample
from restore_ml.tasks.cloud_detection.task import CLOUD, SHADOW

PATTERN = re.compile(r"(?P<what>thick|thin)_(?P<share>[0-9]{1,2})(?P<shadow>_shadow)?")
FARTHEST_LIGHT = 3.0
"""Micrometres beyond which a band measures heat: clouds are laid over reflectances alone."""
DISTANCES = (8, 32)
"""Pixels from a cloud to its shadow, at least and at most."""


def painted(picture: Record) -> bool:
    """Whether it is a procedural scene. Their spectra are drawn at random, and no land looks like that."""
    return bool(picture.facts.get("synthetic")) and "labels" in picture.arrays and "bands" not in picture.arrays


def ground(picture: Record, rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    """What clouds are laid over, H x W x B, and the names of its bands: all bands of the target's date that see light.

    The classes of procedural scenes are painted as land covers (`degradations.clouds.land`).
    """
    if painted(picture):
        return clouds.land(picture.arrays["labels"][..., 0], rng), LAND
    scene = whole(picture.arrays, "target")
    names = names_of(picture.arrays, scene.shape[2])
    seen = [place for place, name in enumerate(names) if (wavelength(name) or 0) < FARTHEST_LIGHT]
    return scene[..., seen], tuple(names[place] for place in seen)


def clouded(scene: np.ndarray, names: tuple[str, ...], kind: str, rng: np.random.Generator) -> Sample:
    """The scene under clouds of a kind (`thick_20_shadow`: thick ones over 20 per cent of it, with their shadows).

    A pixel is cloud in the truth wherever any of it was laid there, its half-transparent rim too, and shadow where the
    shifted cloud lies beside it. A band `cirrus` sees these clouds as its neighbours in the spectrum do, though real
    ones as low as these are dark there. Facts: `kind`, `cloud_ratio`, `shadow_ratio`, and the `azimuth` of the sun.
    """
    parts = PATTERN.fullmatch(kind)
    if parts is None:
        raise UserError(f"{kind!r} is no kind of clouds; write thick_20, thin_20 or thick_20_shadow (any per cent).")
    height, width = scene.shape[:2]
    azimuth, distance = float(rng.uniform(0, 360)), float(rng.uniform(*DISTANCES))
    mask = clouds.simulated_cloud(height, width, rng, int(parts["share"]) / 100)
    hides = clouds.opacity(mask, rng, thick=parts["what"] == "thick")
    down, right = np.rint(distance * clouds.away_from(azimuth)).astype(int).tolist()
    cast = parts["shadow"] is not None
    shade = clouds.shifted(hides, down, right) if cast else None
    shadow = clouds.shifted(mask, down, right) & (1 - mask) if cast else np.zeros_like(mask)
    wavelengths = np.array([wavelength(name) or np.mean(list(clouds.CLOUD)) for name in names])
    seen = clouds.veil(scene, wavelengths, hides, rng, shade)
    codes = (CLOUD * mask + SHADOW * shadow).astype(np.uint8)[..., None]
    facts: dict[str, Any] = {"kind": kind, "cloud_ratio": float(mask.mean()), "shadow_ratio": float(shadow.mean()),
                             "azimuth": azimuth}
    return Sample({"target": seen, "bands": text(" ".join(names), BAND_BYTES)}, {"codes": codes}, facts)
