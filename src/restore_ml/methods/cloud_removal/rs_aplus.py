"""A+ between two dates of a scene: anchored ridge regressions from patches of the reference to what the target lacks.

Timofte, De Smet, Van Gool, "A+: Adjusted Anchored Neighborhood Regression", ACCV 2014, adapted from super-resolution to
(reference -> target) patches; the method card, 5.4 and `rs_aplus`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from threadpoolctl import threadpool_limits

from restore_ml.arrays import Arrays
from restore_ml.base.errors import UserError
from restore_ml.method import Method, Model
from restore_ml.nn.scene_patches import (
    OverlapAverage,
    corners,
    moments,
    principal_axes,
    radiometric_map,
    windows,
)
from restore_ml.nn.sparse_coding import ksvd, unit_columns
from restore_ml.seeds import generator

if TYPE_CHECKING:
    from restore_ml.tasks.base import Material

log = logging.getLogger(__name__)

SMALL_NORM = 0.1
"""Features shorter than this do not scale their targets, as in the authors' code."""
CHUNK = 16384
"""Windows predicted at once."""
ANCHORS = 32
"""Anchors that are compared with all training features at once."""


def projections(features: np.ndarray, targets: np.ndarray, anchors: np.ndarray, neighbours: int,
                ridge: float) -> np.ndarray:
    """The regression of each anchor: P_k = Psi_N Phi_N^T (Phi_N Phi_N^T + lambda I)^-1, K x q x d.

    `features` (n x d) and `targets` (n x q) are training pairs, `anchors` d x K with unit columns. Each pair is scaled
    by the length of its feature; N are the `neighbours` nearest (Euclidean) unit features, at most n.
    """
    lengths = np.linalg.norm(features, axis=1)
    unit = features / np.maximum(lengths, 1e-12)[:, None]
    scaled = targets / np.where(lengths < SMALL_NORM, 1, lengths)[:, None]
    near = min(neighbours, len(unit))
    out = np.empty((anchors.shape[1], targets.shape[1], features.shape[1]))
    for start in range(0, len(out), ANCHORS):
        # Between unit vectors the nearest is the most correlated one; sorted, so that sums have one order.
        for number, distances in enumerate(-anchors[:, start:start + ANCHORS].T @ unit.T, start):
            chosen = np.sort(np.argpartition(distances, near - 1)[:near])
            phi, psi = unit[chosen], scaled[chosen]
            out[number] = np.linalg.solve(phi.T @ phi + ridge * np.eye(phi.shape[1]), phi.T @ psi).T
    return out


def predict(features: np.ndarray, anchors: np.ndarray, maps: np.ndarray, rule: str) -> np.ndarray:
    """psi = P_k phi of the anchor k with the largest correlation (`signed`) or its modulus (`abs`): n x q."""
    products = features @ anchors
    best = (products if rule == "signed" else np.abs(products)).argmax(axis=1)
    out = np.empty((len(features), maps.shape[1]))
    for number in np.unique(best):
        own = best == number
        out[own] = features[own] @ maps[number].T
    return out


class APlus(Method):
    """Anchored regression of the residual of the radiometric map, x̂ + overlap average of P_k phi.

    Settings: `dictionary` (`scene`: anchors and regressions from the clear windows of the scene itself; `train`: fitted
    once on the training scenes), `window` p, `energy` kept by the PCA, `anchors` K, `sparsity` and `iterations` of the
    K-SVD, `signals` it is fitted on, `neighbours` N (at most 1/8 of the pool), `pool` (most training windows),
    `ridge` lambda, `anchor` (`signed` or `abs`), `least` clear windows below which the radiometric map alone is given.
    The published A+ takes |correlation| (`abs`), 2048 neighbours and a pool of 5 million; the target's offset between
    two dates has no odd symmetry, so the default here is `signed`.
    """

    task = "cloud_removal"
    paper = {"dictionary": "scene", "window": 5, "energy": 0.999, "anchors": 1024, "sparsity": 3,  # noqa: RUF012
             "iterations": 40, "signals": 20000, "neighbours": 1024, "pool": 50000, "ridge": 0.1, "anchor": "signed",
             "least": 2000}
    choices: ClassVar = {"dictionary": ("scene", "train"), "anchor": ("signed", "abs")}
    reading = "A+ of super-resolution carried over to two dates of a scene, with a signed anchor rule"

    def prepare(self, material: Material, seed: int) -> dict[str, np.ndarray]:
        """With `dictionary: train`, `axes` (D x d), `anchors` (d x K) and `maps` (K x q x d), float32, from the clear
        windows of the training scenes under masks of the pool; nothing otherwise."""
        if self.settings["dictionary"] == "scene":
            return {}
        pairs = list(self._training_pairs(material, seed))
        if not pairs:
            raise UserError("rs_aplus with `dictionary: train` found no clear window in the training scenes; add "
                            "scenes to the collections of the domain `scenes`.")
        phi, psi = (np.concatenate(part) for part in zip(*pairs, strict=True))
        return {name: value.astype(np.float32) for name, value in self.learn(phi, psi, seed).items()}

    def _training_pairs(self, material: Material, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """An equal share of the pool from each training scene under one mask each."""
        records, masks = material.records, material.pool("masks")
        share = max(1, self.settings["pool"] // max(1, len(records)))
        for record in records:
            rng = generator(seed, "rs_aplus", record.id)
            target, reference = (record.arrays[name].astype(np.float64) for name in ("target", "reference"))
            mask = masks[int(rng.integers(len(masks)))].arrays["mask"][..., 0] > 0
            missing = np.zeros(target.shape[:2], bool)
            rows, columns = np.minimum(missing.shape, mask.shape).tolist()
            missing[:rows, :columns] = mask[:rows, :columns]
            clear, _ = corners(missing, self.settings["window"])
            if len(clear):
                yield self._pairs(target, reference, missing, _some(clear, share, rng))

    def _pairs(self, target: np.ndarray, reference: np.ndarray, missing: np.ndarray,
               places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Standardised reference windows and the target's residual over the radiometric map, per clear window."""
        pieces, side = moments(reference, missing), self.settings["window"]
        residual = (target - radiometric_map(target, reference, missing)) / pieces.deviation
        return (windows((reference - pieces.mean) / pieces.deviation, places, side), windows(residual, places, side))

    def learn(self, phi: np.ndarray, psi: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        """Principal axes, anchors by K-SVD and their regressions from pairs of windows (n x D, n x q)."""
        with _one_thread():
            return self._learn(phi, psi, generator(seed, "rs_aplus anchors"))

    def _learn(self, phi: np.ndarray, psi: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        setting = self.settings
        axes = principal_axes(phi, setting["energy"])
        features = phi @ axes
        if not np.linalg.norm(features, axis=1).max() > 1e-9:
            # A reference without any texture tells nothing beyond the radiometric map.
            anchors = np.eye(axes.shape[1], 1)
            return {"axes": axes, "anchors": anchors, "maps": np.zeros((1, psi.shape[1], axes.shape[1]))}
        anchors, _ = ksvd(_some(features, setting["signals"], rng).T, setting["anchors"], setting["sparsity"],
                          setting["iterations"], rng)
        anchors = unit_columns(anchors)
        near = max(1, min(setting["neighbours"], len(features) // 8))
        return {"axes": axes, "anchors": anchors, "maps": projections(features, psi, anchors, near, setting["ridge"])}

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`target`, `reference` H x W x B float32, `mask` H x W x 1 -> `image` H x W x B.

        With fewer than `least` clear windows of its own (`dictionary: scene`) the radiometric map is given, and a
        warning says so.
        """
        target, reference = (inputs[name].astype(np.float64) for name in ("target", "reference"))
        missing = inputs["mask"][..., 0] > 0
        image = np.where(missing[..., None], self.fill(model.arrays, target, reference, missing, seed), target)
        return {"image": image.astype(np.float32)}

    def fill(self, arrays: dict[str, np.ndarray], target: np.ndarray, reference: np.ndarray, missing: np.ndarray,
             seed: int) -> np.ndarray:
        """The whole scene predicted from the reference, H x W x B; only its missing pixels mean anything."""
        setting = self.settings
        base = radiometric_map(target, reference, missing)
        if min(missing.shape) < setting["window"] or not missing.any():
            return base
        clear, touched = corners(missing, setting["window"])
        if setting["dictionary"] == "scene":
            if len(clear) < max(1, setting["least"]):
                log.warning("rs_aplus: %d clear windows are fewer than %d; the radiometric map alone is given.",
                            len(clear), setting["least"])
                return base
            places = _some(clear, setting["pool"], generator(seed, "rs_aplus scene"))
            arrays = self.learn(*self._pairs(target, reference, missing, places), seed)
        pieces = moments(reference, missing)
        standard = (reference - pieces.mean) / pieces.deviation
        average = OverlapAverage(reference.shape, setting["window"])
        for start in range(0, len(touched), CHUNK):
            places = touched[start:start + CHUNK]
            features = windows(standard, places, setting["window"]) @ arrays["axes"]
            average.add(predict(features, arrays["anchors"], arrays["maps"], setting["anchor"]), places)
        return base + average.mean() * pieces.deviation


def _one_thread() -> threadpool_limits:
    """All matrices here are small: threads would wait for each other longer than they work, and change the sums."""
    return threadpool_limits(1, user_api="blas")


def _some(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most `most` of the rows, drawn without replacement, in their order."""
    return rows if len(rows) <= most else rows[np.sort(rng.choice(len(rows), size=most, replace=False))]


METHOD = APlus
