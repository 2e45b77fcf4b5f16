"""Direct replacement: what is hidden is copied from the reference date. The floor of every multi-temporal method."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from restore_ml.arrays import Arrays
from restore_ml.method import Method, Model

MATCHES = ("none", "meanstd", "seam")


def match_moments(target: np.ndarray, reference: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The reference with the target's mean and deviation per band, both taken over the clear pixels."""
    if missing.all():
        return reference
    t, r = target[~missing], reference[~missing]
    gain = t.std(axis=0) / np.maximum(r.std(axis=0), 1e-4)
    return (reference - r.mean(axis=0)) * gain + t.mean(axis=0)


def clone_gradient(target: np.ndarray, reference: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The reference plus the membrane that meets the target at the rim of every hole (Poisson cloning).

    Inside a hole the Laplacian of the result is that of the reference (Perez, Gangnet, Blake 2003); at the frame of
    the scene the added membrane is flat. A scene without a clear pixel gets the reference.
    """
    if missing.all() or not missing.any():
        return reference
    height, width = missing.shape
    number = np.full((height, width), -1)
    number[missing] = np.arange(missing.sum())
    diagonal, right_side = np.zeros(missing.sum()), np.zeros((missing.sum(), target.shape[2]))
    rows, columns = [], []
    ys, xs = np.nonzero(missing)
    for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        y, x = ys + down, xs + right
        here = np.flatnonzero((y >= 0) & (y < height) & (x >= 0) & (x < width))
        y, x = y[here], x[here]
        diagonal[here] += 1
        inner = missing[y, x]
        rows.append(here[inner])
        columns.append(number[y, x][inner])
        rim = here[~inner]
        right_side[rim] += (target - reference)[y[~inner], x[~inner]]
    i, j = np.concatenate(rows), np.concatenate(columns)
    laplacian = sparse.diags(diagonal) - sparse.coo_matrix((np.ones(len(i)), (i, j)), shape=(len(diagonal),) * 2)
    out = reference.copy()
    out[missing] += splu(laplacian.tocsc()).solve(right_side)
    return out


class DirectReplacement(Method):
    """out = (1 - m) target + m reference.

    `match`: `none` copies as it is, `meanstd` matches the bands' moments on clear pixels first, `seam` clones the
    reference's gradient. Source: the method card `rs_direct`.
    """

    task = "cloud_removal"
    paper: ClassVar = {"match": "none"}
    choices: ClassVar = {"match": MATCHES}

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`target`, `reference` H x W x B float32, `mask` H x W x 1 -> `image` H x W x B; nothing random."""
        target, reference = (inputs[name].astype(np.float64) for name in ("target", "reference"))
        missing = inputs["mask"][..., 0] > 0
        filled = {"none": lambda t, r, m: r, "meanstd": match_moments, "seam": clone_gradient}[
            self.settings["match"]](target, reference, missing)
        return {"image": np.where(missing[..., None], filled, target).astype(np.float32)}


METHOD = DirectReplacement
