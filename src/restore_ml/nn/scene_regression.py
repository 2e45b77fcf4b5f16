"""The way from two dates of a scene to windows and back, for regressions that differ only in what stands between.

A regression learns from pairs of clear windows what the target lacks beyond the radiometric map, predicts that for the
windows under the cloud, and each hidden pixel gets the mean of all windows that cover it. Source: the method card, 5.4.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from threadpoolctl import threadpool_limits

from restore_ml.arrays import Arrays
from restore_ml.base.errors import UserError
from restore_ml.method import Method, Model
from restore_ml.nn.scene_patches import OverlapAverage, corners, moments, principal_axes, radiometric_map, windows
from restore_ml.seeds import generator

if TYPE_CHECKING:
    from restore_ml.tasks.base import Material

log = logging.getLogger(__name__)

COMMON: dict[str, Any] = {"dictionary": "scene", "window": 5, "energy": 0.999, "pool": 50000, "least": 2000}
"""The settings of every `SceneRegression`, with the card's values."""
CHUNK = 16384
"""Windows predicted at once."""


class TwoDates:
    """Two dates of a scene (H x W x B float64) and what is missing of the target (H x W bool), as regressions see them.

    `base`: the radiometric map. `clear`, `touched`: corners of the windows without and with a missing pixel. The
    reference is standardised by its clear pixels; the target's residual over `base` is divided by the same deviation
    and 0 where it is missing.
    """

    def __init__(self, target: np.ndarray, reference: np.ndarray, missing: np.ndarray, side: int) -> None:
        self.side, self.missing = side, missing
        self.base = radiometric_map(target, reference, missing)
        pieces = moments(reference, missing)
        self.deviation = pieces.deviation
        self._standard = (reference - pieces.mean) / pieces.deviation
        self._residual = np.where(missing[..., None], 0, (target - self.base) / pieces.deviation)
        self.clear, self.touched = corners(missing, side)

    def features(self, places: np.ndarray) -> np.ndarray:
        """Standardised windows of the reference as rows: k x (side * side * B)."""
        return windows(self._standard, places, self.side)

    def targets(self, places: np.ndarray) -> np.ndarray:
        """Windows of the residual as rows, 0 at missing pixels: k x (side * side * B)."""
        return windows(self._residual, places, self.side)

    def known(self, places: np.ndarray) -> np.ndarray:
        """1.0 where `targets` is known and 0.0 where it is missing, of the same shape."""
        return windows(np.where(self.missing, 0.0, 1.0)[..., None].repeat(len(self.deviation), 2), places, self.side)


def one_thread() -> threadpool_limits:
    """The matrices are small: threads would wait for each other longer than they work, and change the sums."""
    return threadpool_limits(1)


def some(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most `most` of the rows, drawn without replacement, in their order."""
    return rows if len(rows) <= most else rows[np.sort(rng.choice(len(rows), size=most, replace=False))]


class SceneRegression(Method):
    """x̂ + overlap average of predicted residuals. A regression says how it is `fit` and how it `predict`s.

    Settings: `dictionary` (`scene`: fitted on the clear windows of the scene itself while restoring; `train`: fitted
    once on the training scenes and stored), `window` p, `energy` kept by the principal axes, `pool` (most training
    windows), `least` clear windows below which the radiometric map alone is given.
    """

    task = "cloud_removal"
    choices: ClassVar = {"dictionary": ("scene", "train")}

    def unsupported(self, degradation: str) -> str | None:
        """Scenes in all their bands, as those are that are filled as they were found, where the dictionary is learnt
        beforehand: the training scenes have four."""
        if self.settings["dictionary"] == "train" and degradation.endswith(("_all_bands", "as_found")):
            return "its dictionary is learnt from scenes of four bands"
        return None

    def fit(self, features: np.ndarray, targets: np.ndarray, seed: int) -> Arrays:
        """The regression's arrays, float64, from pairs of features (n x d, on principal axes) and residuals (n x q)."""
        raise NotImplementedError

    def meet(self, arrays: Arrays, dates: TwoDates) -> Arrays:
        """The arrays to predict a scene with; for regressions that look at all its windows before the first."""
        return arrays

    def predict(self, arrays: Arrays, dates: TwoDates, places: np.ndarray) -> np.ndarray:
        """Residuals (k x q) of the windows at `places`."""
        raise NotImplementedError

    def features(self, arrays: Arrays, dates: TwoDates, places: np.ndarray) -> np.ndarray:
        """The windows of the reference on the principal axes: k x d. `UserError` for other bands than were learnt."""
        rows = dates.features(places)
        if rows.shape[1] != len(arrays["axes"]):
            raise UserError(f"{self.name} was fitted on windows of {len(arrays['axes'])} numbers, and those of this "
                            f"scene have {rows.shape[1]}; restore scenes with as many bands as the training scenes, or "
                            "set `dictionary: scene`.")
        return rows @ arrays["axes"]

    @property
    def name(self) -> str:
        """The method's name, as runs.yaml has it."""
        return type(self).__module__.rpartition(".")[2]

    def prepare(self, material: Material, seed: int) -> Arrays:
        """With `dictionary: train`, `axes` (D x d) and what `fit` gives, float32, from the clear windows of the
        training scenes under a mask of the pool each; nothing otherwise."""
        if self.settings["dictionary"] == "scene":
            return {}
        learnt: Arrays = {}
        if pairs := list(self.training_pairs(material, seed)):
            rows, targets = (np.concatenate(part) for part in zip(*pairs, strict=True))
            learnt = self.learn(rows, targets, seed)
        if not learnt:
            raise UserError(f"{self.name} with `dictionary: train` found no clear window with texture in the training "
                            "scenes; add scenes to the collections of the domain `scenes`.")
        return {name: value.astype(np.float32) for name, value in learnt.items()}

    def training_pairs(self, material: Material, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Windows of the reference and residuals: an equal share of the pool from each training scene."""
        records, masks, side = material.records, material.pool("masks"), self.settings["window"]
        share = max(1, self.settings["pool"] // max(1, len(records)))
        for record in records:
            rng = generator(seed, self.name, record.id)
            target, reference = (record.arrays[name].astype(np.float64) for name in ("target", "reference"))
            mask = masks[int(rng.integers(len(masks)))].arrays["mask"][..., 0] > 0
            missing = np.zeros(target.shape[:2], bool)
            rows, columns = np.minimum(missing.shape, mask.shape).tolist()
            missing[:rows, :columns] = mask[:rows, :columns]
            if min(missing.shape) < side:
                continue
            dates = TwoDates(target, reference, missing, side)
            if len(dates.clear):
                places = some(dates.clear, share, rng)
                yield dates.features(places), dates.targets(places)

    def learn(self, rows: np.ndarray, targets: np.ndarray, seed: int) -> Arrays:
        """`axes` and what `fit` gives, from windows of the reference (n x D) and residuals (n x q); empty where the
        reference has no texture, which tells nothing beyond the radiometric map."""
        with one_thread():
            axes = principal_axes(rows, self.settings["energy"])
            features = rows @ axes
            if not np.linalg.norm(features, axis=1).max() > 1e-9:
                return {}
            return {"axes": axes, **self.fit(features, targets, seed)}

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`target`, `reference` H x W x B float32, `mask` H x W x 1 -> `image` H x W x B.

        With fewer than `least` clear windows of its own (`dictionary: scene`) the radiometric map is given, and a
        warning says so.
        """
        target, reference = (inputs[name].astype(np.float64) for name in ("target", "reference"))
        missing = inputs["mask"][..., 0] > 0
        with one_thread():
            image = np.where(missing[..., None], self.fill(model.arrays, target, reference, missing, seed), target)
        return {"image": image.astype(np.float32)}

    def fill(self, arrays: Arrays, target: np.ndarray, reference: np.ndarray, missing: np.ndarray,
             seed: int) -> np.ndarray:
        """The whole scene predicted from the reference, H x W x B; only its missing pixels mean anything."""
        if min(missing.shape) < self.settings["window"] or not missing.any():
            return radiometric_map(target, reference, missing)
        dates = TwoDates(target, reference, missing, self.settings["window"])
        if self.settings["dictionary"] == "scene":
            least = max(1, self.settings["least"])
            if len(dates.clear) < least:
                log.warning("%s: %d clear windows are fewer than %d; the radiometric map alone is given.", self.name,
                            len(dates.clear), least)
                return dates.base
            places = some(dates.clear, self.settings["pool"], generator(seed, self.name, "scene"))
            arrays = self.learn(dates.features(places), dates.targets(places), seed)
            if not arrays:
                return dates.base
        arrays = self.meet(arrays, dates)
        average = OverlapAverage(reference.shape, dates.side)
        for places in chunks(dates.touched):
            average.add(self.predict(arrays, dates, places), places)
        return dates.base + average.mean() * dates.deviation


def chunks(places: np.ndarray) -> Iterator[np.ndarray]:
    """The corners in pieces of at most `CHUNK`."""
    for start in range(0, len(places), CHUNK):
        yield places[start:start + CHUNK]
