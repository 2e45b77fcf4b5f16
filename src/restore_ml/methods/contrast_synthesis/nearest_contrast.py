"""The given contrast that is nearest to the wanted one, its grey levels mapped to that one's. The floor of contrast
synthesis: whatever one contrast alone tells, pixel by pixel.

Source: the baseline that the method card `collagan` names (a copy of the nearest contrast).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.method import Method, Model

if TYPE_CHECKING:
    from restore_ml.tasks.base import Material

LEVELS = 256


class NearestContrast(Method):
    """A grey level of one contrast becomes a grey level of another by a map that is fitted to the training slices where
    they show something. `map`: `levels` gives each level the mean of the other contrast where it occurs (no map of one
    contrast has a smaller squared error), `affine` is the line of least squares, `copy` changes nothing. Nearest is the
    given contrast whose map leaves the least mean squared error on the training slices.

    reading: the map, and what is nearest.
    """

    task = "contrast_synthesis"
    paper: ClassVar[dict[str, Any]] = {"map": "levels"}
    choices: ClassVar = {"map": ("levels", "affine", "copy")}
    reading = "the map of grey levels, and what is nearest"

    def prepare(self, material: Material, seed: int) -> Arrays:
        """`maps`: 5 x 5 x 256 float32, from a level of the first contrast to one of the second; `errors`: 5 x 5 float32
        in squared levels, infinite for two that no training slice has both."""
        counts: np.ndarray | None = None
        for record in material.records:
            contrasts, there = record.arrays["contrasts"], record.arrays["there"]
            shown = contrasts[contrasts.any(axis=2)].astype(np.int64)
            number = len(there)
            if counts is None:
                counts = np.zeros((number, number, LEVELS * LEVELS))
            for source in np.flatnonzero(there):
                for wanted in np.flatnonzero(there):
                    pairs = LEVELS * shown[:, source] + shown[:, wanted]
                    counts[source, wanted] += np.bincount(pairs, minlength=LEVELS * LEVELS)
        assert counts is not None  # the pipeline trains on no empty split
        counts = counts.reshape(*counts.shape[:2], LEVELS, LEVELS)
        maps = np.empty(counts.shape[:3], np.float32)
        errors = np.full(counts.shape[:2], np.inf, np.float32)
        for source, wanted in np.ndindex(errors.shape):
            joint = counts[source, wanted]
            maps[source, wanted] = fitted(joint, self.settings["map"])
            if joint.any():
                off = maps[source, wanted][:, None].astype(np.float64) - np.arange(LEVELS)
                errors[source, wanted] = (joint * off ** 2).sum() / joint.sum()
        return {"maps": maps, "errors": errors}

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`contrasts` (H x W x 5 uint8), `given` and `wanted` -> `contrasts`, H x W x 5 float32 in [0, 1]; where no
        contrast is given it stays black."""
        made = inputs["contrasts"].astype(np.float32)
        given = np.flatnonzero(inputs["given"])
        for wanted in np.flatnonzero(inputs["wanted"]) if len(given) else ():
            source = given[int(np.argmin(model.arrays["errors"][given, wanted]))]
            made[..., wanted] = model.arrays["maps"][source, wanted][inputs["contrasts"][..., source]]
        return {"contrasts": np.clip(made / 255, 0, 1)}


def fitted(joint: np.ndarray, kind: str) -> np.ndarray:
    """The map of each level, 256 float64, from a joint histogram (256 x 256: rows are the levels that are mapped).

    `levels`: means; a level that never occurs lies on the line between its neighbours that do. Where the histogram is
    empty, and for `copy`, the levels themselves.
    """
    levels = np.arange(LEVELS, dtype=np.float64)
    rows = joint.sum(axis=1)
    if kind == "copy" or not rows.any():
        return levels
    means = joint @ levels / np.maximum(rows, 1)
    if kind == "levels":
        return np.interp(levels, levels[rows > 0], means[rows > 0])
    weights = rows / rows.sum()
    middle, mean = weights @ levels, weights @ means
    spread = weights @ (levels - middle) ** 2
    slope = weights @ ((levels - middle) * (means - mean)) / spread if spread else 0.0
    return mean + slope * (levels - middle)


METHOD = NearestContrast
