"""A+ between two dates of a scene: anchored ridge regressions from patches of the reference to what the target lacks.

Timofte, De Smet, Van Gool, "A+: Adjusted Anchored Neighborhood Regression", ACCV 2014, adapted from super-resolution to
(reference -> target) patches; the method card, 5.4 and `rs_aplus`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.nn.scene_regression import COMMON, SceneRegression, TwoDates, some
from restore_ml.nn.sparse_coding import ksvd, unit_columns
from restore_ml.seeds import generator

SMALL_NORM = 0.1
"""Features shorter than this do not scale their targets, as in the authors' code."""
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


class APlus(SceneRegression):
    """psi = P_k phi, k the anchor with the largest correlation with phi.

    Settings beside those of `SceneRegression`: `anchors` K, `sparsity` and `iterations` of the K-SVD, the `signals`
    that it is fitted on, `neighbours` N (at most 1/8 of the pool), `ridge` lambda, `anchor` (`signed` or `abs`). The
    published A+ takes |correlation| (`abs`), 2048 neighbours and a pool of 5 million; the target's offset between two
    dates has no odd symmetry, so the default here is `signed`.
    """

    paper: ClassVar = {**COMMON, "anchors": 1024, "sparsity": 3, "iterations": 40, "signals": 20000, "neighbours": 1024,
                       "ridge": 0.1, "anchor": "signed"}
    choices: ClassVar = {**SceneRegression.choices, "anchor": ("signed", "abs")}
    reading = "A+ of super-resolution carried over to two dates of a scene, with a signed anchor rule"

    def fit(self, features: np.ndarray, targets: np.ndarray, seed: int) -> Arrays:
        """`anchors` (d x K, unit columns) by K-SVD and `maps` (K x q x d)."""
        setting, rng = self.settings, generator(seed, "rs_aplus anchors")
        anchors, _ = ksvd(some(features, setting["signals"], rng).T, setting["anchors"], setting["sparsity"],
                          setting["iterations"], rng)
        anchors = unit_columns(anchors)
        near = max(1, min(setting["neighbours"], len(features) // 8))
        return {"anchors": anchors, "maps": projections(features, targets, anchors, near, setting["ridge"])}

    def predict(self, arrays: Arrays, dates: TwoDates, places: np.ndarray) -> np.ndarray:
        """The regression of each window's anchor."""
        return predict(self.features(arrays, dates, places), arrays["anchors"], arrays["maps"],
                       self.settings["anchor"])


METHOD = APlus
