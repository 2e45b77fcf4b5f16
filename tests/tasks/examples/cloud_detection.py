"""A cloud and its shadow over green land; the wrong output finds the cloud too far down and no shadow."""

import numpy as np

from restore_ml.arrays import text
from tests.tasks.examples import Arrays, Example

BEST = 1.0
BANDS = "blue green red nir swir1 swir2"


def sample() -> Example:
    land = np.broadcast_to(np.array([0.04, 0.08, 0.05, 0.4, 0.2, 0.09], np.float32), (64, 64, 6)).copy()
    land += np.random.default_rng(0).random((64, 64, 6), np.float32) / 100
    codes, found = np.zeros((64, 64, 1), np.uint8), np.zeros((64, 64, 1), np.uint8)
    codes[10:30, 10:40], codes[35:55, 10:40], found[12:37, 10:40] = 4, 2, 4
    land[codes[..., 0] == 4], land[codes[..., 0] == 2] = 0.5, 0.03
    inputs = {"target": land, "bands": text(BANDS, 64), "azimuth": np.array([0.0], np.float32)}
    return inputs, {"codes": found}, {"codes": codes}


def perfect(target: Arrays) -> Arrays:
    return dict(target)
