"""Anchored Neighbourhood Regression between two dates of a scene: one ridge regression for each atom of a dictionary.

Timofte, De Smet, Van Gool, "Anchored Neighborhood Regression for fast example-based super-resolution", ICCV 2013,
adapted from super-resolution to (reference -> target) patches; the method card, 5.4 and `rs_anr`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.methods.cloud_removal.rs_aplus import predict
from restore_ml.nn.coupled_dictionaries import coupled_dictionaries
from restore_ml.nn.scene_regression import COMMON, SceneRegression, TwoDates


def projections(atoms: np.ndarray, answers: np.ndarray, neighbours: int, ridge: float) -> np.ndarray:
    """P_k = (1 + lambda) D_psi,N (D_N^T D_N + lambda I)^-1 D_N^T for each atom k: K x q x d.

    `atoms` D (d x K, unit columns), `answers` D_psi (q x K). N are the `neighbours` atoms with the largest
    |d_j^T d_k|, k among them; all of them give the same P to each atom, the paper's global regression (GR). The factor
    is that of the authors' code.
    """
    near = min(neighbours, atoms.shape[1])
    out = np.empty((atoms.shape[1], len(answers), len(atoms)))
    for number, strength in enumerate(np.abs(atoms.T @ atoms)):
        # Sorted, so that sums have one order.
        chosen = np.sort(np.argpartition(-strength, near - 1)[:near])
        own = atoms[:, chosen]
        out[number] = (1 + ridge) * answers[:, chosen] @ np.linalg.solve(own.T @ own + ridge * np.eye(near), own.T)
    return out


class ANR(SceneRegression):
    """psi = P_k phi, k the atom with the largest |d_k^T phi|.

    Settings beside those of `SceneRegression`: `anchors` K, `sparsity` and `iterations` of the K-SVD, the `signals`
    that it is fitted on, `neighbours` (atoms a regression; K or more is the paper's GR), `ridge` lambda, `anchor`
    (`abs` as published, or `signed`).
    """

    paper: ClassVar = {**COMMON, "anchors": 1024, "sparsity": 3, "iterations": 40, "signals": 20000, "neighbours": 40,
                       "ridge": 0.01, "anchor": "abs"}
    choices: ClassVar = {**SceneRegression.choices, "anchor": ("abs", "signed")}
    reading = "ANR of super-resolution carried over to two dates of a scene; the source names it and no more"

    def fit(self, features: np.ndarray, targets: np.ndarray, seed: int) -> Arrays:
        """`anchors` (d x K, unit columns) and `maps` (K x q x d)."""
        setting = self.settings
        anchors, answers = coupled_dictionaries(
            features, targets, atoms=setting["anchors"], sparsity=setting["sparsity"],
            iterations=setting["iterations"], signals=setting["signals"], seed=seed)
        return {"anchors": anchors, "maps": projections(anchors, answers, setting["neighbours"], setting["ridge"])}

    def predict(self, arrays: Arrays, dates: TwoDates, places: np.ndarray) -> np.ndarray:
        """The regression of each window's anchor."""
        return predict(self.features(arrays, dates, places), arrays["anchors"], arrays["maps"],
                       self.settings["anchor"])


METHOD = ANR
