"""Coupled dictionaries between two dates of a scene: a sparse code of the reference gives what the target lacks.

Aharon, Elad, Bruckstein, "K-SVD", IEEE TSP 2006, with the second dictionary of Zeyde, Elad, Protter 2010; between dates
of a scene: Li, Shen et al., TGRS 2014. The method card, 5.4 and `rs_ksvd`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.nn.coupled_dictionaries import coupled_dictionaries
from restore_ml.nn.scene_regression import COMMON, SceneRegression, TwoDates
from restore_ml.nn.sparse_coding import omp


class KSVD(SceneRegression):
    """alpha = OMP(phi, D, `sparsity`), psi = D_psi alpha.

    Settings beside those of `SceneRegression`: `atoms` K, `sparsity` L and `iterations` of the K-SVD, and the
    `signals` that it is fitted on; D_psi is fitted on the whole pool. The card's other reading, one K-SVD of both
    dates' windows stacked, is left out.
    """

    paper: ClassVar = {**COMMON, "atoms": 1024, "sparsity": 3, "iterations": 40, "signals": 20000}
    reading = ("Zeyde's coupled dictionaries of super-resolution carried over to two dates of a scene; the source "
               "names K-SVD and no more")

    def fit(self, features: np.ndarray, targets: np.ndarray, seed: int) -> Arrays:
        """`atoms` (d x K, unit columns) and `answers` (q x K)."""
        atoms, answers = coupled_dictionaries(
            features, targets, seed=seed, **{name: self.settings[name] for name in ("atoms", "sparsity", "iterations",
                                                                                    "signals")})
        return {"atoms": atoms, "answers": answers}

    def predict(self, arrays: Arrays, dates: TwoDates, places: np.ndarray) -> np.ndarray:
        """D_psi times the codes of the windows of the reference."""
        atoms = arrays["atoms"]
        features = self.features(arrays, dates, places)
        return omp(features.T, atoms, min(self.settings["sparsity"], atoms.shape[1])).apply(arrays["answers"]).T


METHOD = KSVD
