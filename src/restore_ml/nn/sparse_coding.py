"""Sparse coding in numpy: orthogonal matching pursuit and K-SVD, vectorised over the signals.

Signals are columns (d x n), dictionaries have unit columns (d x K), codes are `Codes`. Sources: Pati et al. 1993 (OMP),
Aharon, Elad, Bruckstein 2006 (K-SVD), Rubinstein et al. 2008 (OMP on the Gram matrix).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

CHUNK = 4096
"""Signals coded at once: what OMP keeps is CHUNK x K numbers."""


@dataclass
class Codes:
    """At most L atoms a signal: `indices` and `values`, both L x n; an atom stands once in a column."""

    indices: np.ndarray
    values: np.ndarray

    def apply(self, dictionary: np.ndarray) -> np.ndarray:
        """`dictionary` (q x K) times the codes: q x n."""
        total = np.zeros((dictionary.shape[0], self.indices.shape[1]))
        for index, value in zip(self.indices, self.values, strict=True):
            total += dictionary[:, index] * value
        return total


def unit_columns(matrix: np.ndarray) -> np.ndarray:
    """Columns divided by their norms; columns of norm below 1e-12 stay as they are."""
    norms = np.linalg.norm(matrix, axis=0)
    return matrix / np.where(norms < 1e-12, 1, norms)


def omp(signals: np.ndarray, dictionary: np.ndarray, sparsity: int) -> Codes:
    """Orthogonal matching pursuit: at most `sparsity` atoms a signal, coefficients refitted after each choice.

    On an orthonormal dictionary this keeps the `sparsity` largest coefficients.
    """
    gram = dictionary.T @ dictionary
    parts = [_omp(signals[:, start:start + CHUNK].T @ dictionary, gram, sparsity)
             for start in range(0, signals.shape[1], CHUNK)]
    return Codes(np.concatenate([part.indices for part in parts], axis=1),
                 np.concatenate([part.values for part in parts], axis=1))


def _omp(products: np.ndarray, gram: np.ndarray, sparsity: int) -> Codes:
    """OMP from the products of signals and atoms (n x K) and the Gram matrix alone."""
    count = len(products)
    rows = np.arange(count)
    remaining, chosen = products.copy(), np.zeros((count, sparsity), np.int64)
    for step in range(sparsity):
        strength = np.abs(remaining)
        strength[rows[:, None], chosen[:, :step]] = -1
        chosen[:, step] = strength.argmax(axis=1)
        support = chosen[:, :step + 1]
        # The small ridge only matters where two chosen atoms are the same.
        system = gram[support[:, :, None], support[:, None, :]] + 1e-12 * np.eye(step + 1)
        values = np.linalg.solve(system, products[rows[:, None], support][..., None])[..., 0]
        if step + 1 < sparsity:
            remaining = products.copy()
            for column in range(step + 1):
                remaining -= values[:, column, None] * gram[support[:, column]]
    return Codes(chosen.T.copy(), values.T.copy())


def ksvd(signals: np.ndarray, atoms: int, sparsity: int, iterations: int,
         rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A dictionary that represents `signals` (d x n) with `sparsity` atoms each.

    Returns the dictionary (d x min(atoms, n), unit columns) and the squared error after each sweep of coding and
    updating, which never grows: a signal keeps its old code where pursuit finds none better. Starts from random
    signals; an atom that nobody uses becomes the worst represented signal.
    """
    norms = np.linalg.norm(signals, axis=0)
    candidates = np.flatnonzero(norms > 1e-12)
    if len(candidates) == 0:
        raise ValueError("K-SVD needs a signal that is not zero.")
    start = rng.choice(candidates, size=min(atoms, len(candidates)), replace=False)
    dictionary = unit_columns(signals[:, start].astype(np.float64))
    sparsity = min(sparsity, dictionary.shape[1])
    codes, errors = omp(signals, dictionary, sparsity), []
    for iteration in range(iterations):
        if iteration:
            codes = _better(signals, dictionary, codes, omp(signals, dictionary, sparsity))
        residual = signals - codes.apply(dictionary)
        _update(signals, dictionary, codes, residual)
        errors.append(float((residual ** 2).sum()))
    return dictionary, np.array(errors)


def _better(signals: np.ndarray, dictionary: np.ndarray, old: Codes, new: Codes) -> Codes:
    """Per signal the code with the smaller error."""
    old_error, new_error = (((signals - codes.apply(dictionary)) ** 2).sum(axis=0) for codes in (old, new))
    keep = old_error <= new_error
    return Codes(np.where(keep, old.indices, new.indices), np.where(keep, old.values, new.values))


def _update(signals: np.ndarray, dictionary: np.ndarray, codes: Codes, residual: np.ndarray) -> None:
    """One sweep over the atoms, in place: each atom and its coefficients become the best rank-one fit of what the
    other atoms leave of its users."""
    worst = list(np.argsort(-(residual ** 2).sum(axis=0), kind="stable"))
    order = np.argsort(codes.indices, axis=None, kind="stable")
    ends = np.searchsorted(codes.indices.ravel()[order], np.arange(dictionary.shape[1] + 1))
    for atom in range(dictionary.shape[1]):
        layers, users = np.unravel_index(order[ends[atom]:ends[atom + 1]], codes.indices.shape)
        used = codes.values[layers, users] != 0
        layers, users = layers[used], users[used]
        if len(users) == 0:
            if worst and (signal := signals[:, worst.pop(0)]).any():
                dictionary[:, atom] = signal / np.linalg.norm(signal)
            continue
        own = residual[:, users] + dictionary[:, atom, None] * codes.values[layers, users]
        dictionary[:, atom], codes.values[layers, users] = _rank_one(own, dictionary[:, atom])
        residual[:, users] = own - dictionary[:, atom, None] * codes.values[layers, users]


def _rank_one(matrix: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit u (d) and w (n) with the smallest |`matrix` - u w^T|: the first singular pair, from the largest eigenvector
    of the smaller Gram matrix, quicker than all pairs. Of u and -u the one that continues `before` is taken
    (that of a library turns with rounding, and who compares atoms with signs would too); a zero matrix keeps it."""
    wide = matrix.shape[1] > matrix.shape[0]
    gram = matrix @ matrix.T if wide else matrix.T @ matrix
    if not gram.any():
        return before, np.zeros(matrix.shape[1])
    last = len(gram) - 1
    vector = eigh(gram, subset_by_index=(last, last), check_finite=False)[1][:, 0]
    left = vector if wide else matrix @ vector
    length = np.linalg.norm(left)
    left = left / (-length if left @ before < 0 else length)
    return left, left @ matrix
