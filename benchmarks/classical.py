"""Processor seconds of the classical methods' parts, ours against the plain way on the same input, with the difference.

    python benchmarks/classical.py [--rounds 3]

The plain ways: scikit-learn's orthogonal_mp_gram, K-SVD with all singular pairs of each atom, DAISY of scikit-image,
anchors' neighbours by distance and sort, windows one by one, the bilateral filter pixel by pixel, exemplars of a hole
by differences, one patch at a time, PatchMatch patch by patch. One thread; the least of the rounds counts. Prints a
table.
"""

from __future__ import annotations

import argparse
import os

# The libraries read it when they are loaded.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import math
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import torch
from metrics import fastest
from skimage import data, feature
from sklearn.linear_model import orthogonal_mp_gram

from restore_ml.methods.cloud_removal import rs_jnr
from restore_ml.methods.cloud_removal.rs_aplus import projections
from restore_ml.methods.inpainting.criminisi import Exemplars, criminisi
from restore_ml.methods.inpainting.efros_leung import Windows, efros_leung
from restore_ml.methods.inpainting.patchmatch_fill import LEAST, Matches, PatchMatchFill, patchmatch_fill
from restore_ml.nn import sparse_coding
from restore_ml.nn.bilateral import joint_bilateral
from restore_ml.nn.daisy_features import daisy
from restore_ml.seeds import generator

WIDTH, ATOMS, SPARSITY, NEIGHBOURS, RIDGE = 77, 128, 3, 512, 0.1


def dense(codes: sparse_coding.Codes) -> np.ndarray:
    matrix = np.zeros((ATOMS, codes.indices.shape[1]))
    for index, value in zip(codes.indices, codes.values, strict=True):
        matrix[index, np.arange(len(index))] += value
    return matrix


def all_pairs(matrix: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rank-one fit by a whole singular value decomposition."""
    left, scale, right = np.linalg.svd(matrix, full_matrices=False)
    sign = -1 if left[:, 0] @ before < 0 else 1
    return sign * left[:, 0], sign * scale[0] * right[0]


def searched(features: np.ndarray, targets: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """The anchors' regressions, neighbours by Euclidean distance and a sort, with an inverse."""
    lengths = np.linalg.norm(features, axis=1)[:, None]
    unit, out = features / lengths, []
    for anchor in anchors.T:
        chosen = np.argsort(((unit - anchor) ** 2).sum(axis=1), kind="stable")[:NEIGHBOURS]
        phi, psi = unit[chosen], (targets / lengths)[chosen]
        out.append(psi.T @ phi @ np.linalg.inv(phi.T @ phi + RIDGE * np.eye(phi.shape[1])))
    return np.stack(out)


def window_by_window(features: np.ndarray, targets: np.ndarray, known: np.ndarray, centres: np.ndarray,
                     fitted: dict[str, np.ndarray], nearest: int) -> np.ndarray:
    """Joint neighbourhood regression of one window after the other, distances as differences; the scale is 1."""
    out = np.empty_like(targets)
    for row, (phi, psi, seen) in enumerate(zip(features, targets, known, strict=True)):
        distances = ((phi - centres[:, :WIDTH]) ** 2).sum(axis=1) + (seen * (psi - centres[:, WIDTH:]) ** 2).sum(axis=1)
        best = np.argsort(distances, kind="stable")[:nearest]
        weights = np.exp(-(distances[best] - distances[best[0]]) / 2)
        predicted = [fitted["psi"][k] + (phi - fitted["phi"][k]) @ fitted["maps"][k] for k in best]
        out[row] = weights / weights.sum() @ predicted
    return out


def by_pixel(values: np.ndarray, guide: np.ndarray, radius: int, space: float, spread: float) -> np.ndarray:
    padded, around = np.pad(values, radius, mode="symmetric"), np.pad(guide, radius, mode="symmetric")
    axis = np.arange(-radius, radius + 1) ** 2
    near, out = np.exp(-(axis[:, None] + axis) / (2 * space**2)), np.empty_like(values)
    for y, x in np.ndindex(*values.shape):
        window = slice(y, y + 2 * radius + 1), slice(x, x + 2 * radius + 1)
        weights = near * np.exp(-((around[window] - guide[y, x]) ** 2) / (2 * spread**2))
        out[y, x] = (weights * padded[window]).sum() / weights.sum()
    return out


def compared(exemplars: Exemplars, patch: np.ndarray, seen: np.ndarray, y: int, x: int) -> tuple[int, int]:
    """The nearest exemplar by the differences of all, sorted."""
    rows = exemplars.table[:, seen.size:].reshape(-1, *patch.shape)
    distance = ((rows - patch) ** 2 * seen[..., None]).sum((1, 2, 3))
    first = np.lexsort(((exemplars.y - y) ** 2 + (exemplars.x - x) ** 2, distance))[0]
    return int(exemplars.y[first]), int(exemplars.x[first])


def window_errors(windows: Windows, patches: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weighted errors of each patch by the differences to all windows."""
    rows, weights = windows.table[:, windows.side**2:].reshape(-1, *patches.shape[1:]), seen * windows.weights
    return np.stack([((rows - patch) ** 2 * weight[..., None]).sum((1, 2, 3))
                     for patch, weight in zip(patches, weights, strict=True)]), weights.sum((1, 2))


def attempted(matches: Matches, y: np.ndarray, x: np.ndarray, fits: np.ndarray) -> None:
    """One patch after the other compared with the match that it is offered."""
    height, width = matches.whole.shape
    for number, (row, column, fit) in enumerate(zip(y.tolist(), x.tolist(), fits.tolist(), strict=True)):
        if fit and 0 <= row < height and 0 <= column < width and matches.whole[row, column]:
            distance = ((matches.wanted[number] - matches.rows[row, column]) ** 2).sum()
            if distance < matches.distance[number]:
                matches.to_y[number], matches.to_x[number], matches.distance[number] = row, column, distance


def voted(matches: Matches, missing: np.ndarray, gamma: float) -> np.ndarray:
    """The votes for the missing pixels, one patch after the other."""
    spread = max(float(np.percentile(matches.distance, 75)), 1.0)
    depth = cv2.distanceTransform(missing.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    total, sums, radius = np.zeros(missing.shape), np.zeros(matches.values.shape), matches.side // 2
    for y, x, to_y, to_x, distance in zip(matches.y, matches.x, matches.to_y, matches.to_x, matches.distance,
                                          strict=True):
        weight = max(math.exp(-float(distance) / (2 * spread)), LEAST) * gamma ** -float(depth[y, x])
        over, shown = (np.s_[row - radius:row + radius + 1, column - radius:column + radius + 1]
                       for row, column in ((y, x), (to_y, to_x)))
        total[over] += weight
        sums[over] += weight * matches.values[shown]
    mean = np.rint(sums / np.where(missing, total, 1)[..., None])
    return np.where(missing[..., None], mean, matches.values).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = generator("benchmark")
    signals = rng.standard_normal((WIDTH, 30)) @ rng.standard_normal((30, 4000)) + rng.standard_normal((WIDTH, 4000))
    atoms = sparse_coding.unit_columns(signals[:, :ATOMS])
    gram, products = atoms.T @ atoms, atoms.T @ signals
    targets = rng.standard_normal((4000, 100))
    known = (rng.random(targets.shape) < 0.5).astype(np.float64)
    rows = rs_jnr.joint(signals.T, targets, 1.0)
    fitted = rs_jnr.regressions(signals.T, targets, rows, rows[:ATOMS], NEIGHBOURS, RIDGE)
    grey = data.camera()[100:292, 100:292].astype(np.float32) / 255
    noise = rng.random(grey.shape).astype(np.float32)

    def ksvd() -> np.ndarray:
        return sparse_coding.ksvd(signals[:, :1500], ATOMS, SPARSITY, 5, generator("fit"))[1]

    def plain_ksvd() -> np.ndarray:
        with patch.object(sparse_coding, "_rank_one", all_pairs):
            return ksvd()

    colour, hole = np.ascontiguousarray(data.astronaut()[:256:4, 128:384:4]), np.zeros((64, 64), np.uint8)
    hole[20:44, 24:48] = 1

    def sampled() -> np.ndarray:
        return efros_leung(colour, hole, 9, 1000, generator("fill")).astype(np.int16)

    def plain_sampled() -> np.ndarray:
        with patch.object(Windows, "errors", window_errors):
            return sampled()

    def copied() -> np.ndarray:
        return criminisi(colour, hole).astype(np.int16)

    def plain_copied() -> np.ndarray:
        with patch.object(Exemplars, "nearest", compared):
            return copied()

    def matched() -> np.ndarray:
        return patchmatch_fill(colour, hole, PatchMatchFill.paper, generator("fill")).astype(np.int16)

    def plain_matched() -> np.ndarray:
        with patch.object(Matches, "attempt", attempted), patch.object(Matches, "vote", voted):
            return matched()

    def tensor(picture: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(picture)[None, None]

    ways: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "OMP, 4000 signals, 128 atoms, 3 each": (
            lambda: orthogonal_mp_gram(gram, products, n_nonzero_coefs=SPARSITY),
            lambda: dense(sparse_coding.omp(signals, atoms, SPARSITY))),
        "K-SVD, 1500 signals, 5 sweeps (squared errors)": (plain_ksvd, ksvd),
        "A+ neighbour search and regressions": (
            lambda: searched(signals.T, targets, atoms),
            lambda: projections(signals.T, targets, atoms, NEIGHBOURS, RIDGE)),
        "JNR prediction of 4000 windows": (
            lambda: window_by_window(signals.T, targets * known, known, rows[:ATOMS], fitted, 3),
            lambda: rs_jnr.blend(signals.T, *rs_jnr.nearest(signals.T, targets * known, known, rows[:ATOMS], 1.0, 3),
                                 1.0, fitted)),
        "DAISY at each pixel, 192 x 192": (
            lambda: feature.daisy(np.pad(grey.astype(np.float64), 15, mode="symmetric"), step=1, radius=15, rings=1,
                                  histograms=3).transpose(2, 0, 1),
            lambda: np.asarray(daisy(tensor(grey), 15)[0])),
        "joint bilateral, radius 10, 192 x 192": (
            lambda: by_pixel(noise, grey, 10, 5.0, 0.05),
            lambda: np.asarray(joint_bilateral(tensor(noise), tensor(grey), 10, 5.0, 0.05)[0, 0])),
        "Criminisi, a hole of 24 x 24": (plain_copied, copied),
        "Efros and Leung, a hole of 24 x 24, 1000 windows": (plain_sampled, sampled),
        "PatchMatch, a hole of 24 x 24": (plain_matched, matched)}
    print("| work | plain way, s | ours, s | ratio | largest difference |\n|---|---|---|---|---|")
    for name, pair in ways.items():
        (slow, expected), (fast, found) = fastest(options.rounds, *pair)
        difference = float(np.abs(np.asarray(expected) - found).max() / max(1.0, math.fabs(np.abs(expected).max())))
        print(f"| {name} | {slow:.3f} | {fast:.3f} | {slow / fast:.1f} | {difference:.0e} |", flush=True)


if __name__ == "__main__":
    main()
