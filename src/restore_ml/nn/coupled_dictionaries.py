"""Two dictionaries with one code: K-SVD learns the first from features, least squares gives the second its targets.

Sources: Aharon, Elad, Bruckstein, "K-SVD", IEEE TSP 2006; Zeyde, Elad, Protter, "On single image scale-up using
sparse-representations", 2010, for the second dictionary.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from restore_ml.nn.scene_regression import some
from restore_ml.nn.sparse_coding import Codes, ksvd, omp
from restore_ml.seeds import generator

DAMPING = 1e-6
"""On the diagonal of A A^T: an atom that no signal uses gets a column of zeros."""


def coupled_dictionaries(features: np.ndarray, targets: np.ndarray, *, atoms: int, sparsity: int, iterations: int,
                         signals: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """D (d x K, unit columns) and D_psi (q x K) of pairs of features (n x d) and targets (n x q).

    D is fitted by K-SVD on at most `signals` of the features (some of them must not be zero); A are the codes of all
    features on D, and D_psi = Psi A^T (A A^T + 1e-6 I)^-1. K is `atoms`, or as many signals as there are.
    """
    rng = generator(seed, "coupled dictionaries")
    dictionary, _ = ksvd(some(features, signals, rng).T, atoms, sparsity, iterations, rng)
    codes = omp(features.T, dictionary, min(sparsity, dictionary.shape[1]))
    return dictionary, explaining(targets, codes, dictionary.shape[1])


def explaining(targets: np.ndarray, codes: Codes, atoms: int) -> np.ndarray:
    """The dictionary (q x `atoms`) that gives the targets (n x q) from the codes, by damped least squares."""
    layers, count = codes.indices.shape
    columns = np.tile(np.arange(count), layers)
    matrix = sparse.coo_matrix((codes.values.ravel(), (codes.indices.ravel(), columns)), (atoms, count)).tocsr()
    gram = (matrix @ matrix.T).toarray() + DAMPING * np.eye(atoms)
    return np.linalg.solve(gram, matrix @ targets).T
