"""Recognition of persons by null-space linear discriminant analysis (Chen et al., Pattern Recognition 33, 2000).

The protocol of face sketches (card 1.10 of the cross-domain cards): does a true picture find its person among the made
ones? With more values than pictures there are directions in which all pictures of a class are one point; among them
those that part the classes most are taken.

reading: the published tables learn from 150 of CUFS's 338 test persons and from 300 of CUFSF's 944, and so do we; of
any other number of persons half, which is ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from restore_ml.seeds import generator

Array = np.ndarray
REPEATS = 20
LEARNED = {338: 150, 944: 300}
"""Persons of a test set -> how many of them are learned from, in the published tables of CUFS and CUFSF."""


def directions(samples: Array, classes: Array) -> Array:
    """D x k float64, at most C - 1 orthonormal directions, the one that parts the classes most first.

    `samples`: N x D, `classes`: N numbers. No two samples of a class differ along any of them.
    """
    samples = samples.astype(np.float64)
    centred = samples - samples.mean(0)
    space = _range(centred)  # principal axes, none of the rank lost
    inner = centred @ space
    means = np.stack([inner[classes == number].mean(0) for number in np.unique(classes)])
    within = inner - means[np.searchsorted(np.unique(classes), classes)]
    null = _complement(within)
    _, _, axes = np.linalg.svd(means @ null, full_matrices=False)
    return space @ null @ axes[:len(means) - 1].T


def rank1(gallery: Array, owners: Sequence[str], probes: Array, persons: Sequence[str]) -> float:
    """The share of probes whose nearest picture of the gallery, by the cosine, is of the same person.

    `gallery`: M x d projected pictures of the persons `owners`; `probes`: N x d of the persons `persons`.
    """
    nearest = (_unit(probes) @ _unit(gallery).T).argmax(1)
    return float(np.mean([owners[place] == person for place, person in zip(nearest, persons, strict=True)]))


def recognised(made: Array, true: Array, persons: Sequence[str], repeats: int = REPEATS) -> float:
    """Rank-1 rate at the best number of directions, the mean over random partings of the persons in two.

    `made`, `true`: N x D pictures of the `persons`. Half of the persons (see `LEARNED`) are learned from, made and true
    pictures alike; the others' true pictures are looked for among their made ones.
    """
    both = np.concatenate([made, true]).astype(np.float64)
    both = both @ _range(both)  # all that follows lies in the space of the pictures, which has fewer axes than pixels
    made, true = both[:len(made)], both[len(made):]
    names = np.unique(persons)
    half = LEARNED.get(len(names), len(names) // 2)
    curves = []
    for repeat in range(repeats):
        chosen = generator("nlda", repeat).permutation(len(names))[:half]
        learned = np.isin(persons, names[chosen])
        classes = np.searchsorted(names, np.asarray(persons)[learned])
        axes = directions(np.concatenate([made[learned], true[learned]]), np.concatenate([classes, classes]))
        centre = np.concatenate([made[learned], true[learned]]).mean(0)
        gallery, probes = (made[~learned] - centre) @ axes, (true[~learned] - centre) @ axes
        asked = np.asarray(persons)[~learned].tolist()
        curves.append([rank1(gallery[:, :kept], asked, probes[:, :kept], asked)
                       for kept in range(1, axes.shape[1] + 1)])
    length = min(map(len, curves))
    return float(np.mean([curve[:length] for curve in curves], axis=0).max()) if length else float("nan")


def _range(rows: Array, tolerance: float = 1e-9) -> Array:
    """Orthonormal columns that span the rows."""
    _, values, axes = np.linalg.svd(rows, full_matrices=False)
    return axes[values > tolerance * np.max(values, initial=0.0)].T


def _complement(rows: Array, tolerance: float = 1e-9) -> Array:
    """Orthonormal columns along which no row reaches."""
    _, values, axes = np.linalg.svd(rows, full_matrices=True)
    rank = int((values > tolerance * np.max(values, initial=0.0)).sum())
    return axes[rank:].T


def _unit(rows: Array) -> Array:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
