"""What hides a scene, in training and in tests: clouds with and without shadows, snow, and gaps of a sensor."""

from __future__ import annotations

import re

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.degradations import clouds, masks

GAPS = {"stripes": masks.stripes, "wedges": masks.wedges}
PATTERN = re.compile(r"(?P<what>cloud|snow)_(?P<share>[0-9]{1,2})(?P<shadow>_shadow)?")


def hidden(height: int, width: int, kind: str, rng: np.random.Generator) -> np.ndarray:
    """What is hidden by a degradation of that name: H x W uint8, 0 clear, 1 cloud, snow or gap, 2 shadow only."""
    if kind in GAPS:
        return GAPS[kind](height, width, rng)
    parts = PATTERN.fullmatch(kind)
    if parts is None:
        raise UserError(f"{kind!r} is no degradation of cloud_removal.")
    mask = clouds.simulated_cloud(height, width, rng, int(parts["share"]) / 100)
    return 2 * clouds.with_shadow(mask) - mask if parts["shadow"] else mask


def seen(truth: np.ndarray, gaps: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """What the sensor gives where `gaps` (see `hidden`) is not 0: white cloud, dark shadow, snow, or 0 in a gap."""
    if kind in GAPS:
        return np.where(gaps[..., None] > 0, np.float32(0), truth)
    if kind.startswith("snow"):
        return np.where(gaps[..., None] > 0, clouds.snow(truth, gaps, rng), truth)
    return np.where(gaps[..., None] > 0, clouds.cover(truth, gaps == 1, rng, shadow=gaps == 2), truth)
