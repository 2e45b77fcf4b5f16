"""Joint neighbourhood regression: local affine regressions among windows that are alike at both dates of a scene.

Our reading of "multi-temporal remote-sensing missing-information recovery based on joint neighbourhood regression", of
which the source shows pictures alone; the method card, 5.4 and `rs_jnr`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from threadpoolctl import threadpool_limits

from restore_ml.arrays import Arrays
from restore_ml.nn.scene_regression import COMMON, SceneRegression, TwoDates, chunks, some
from restore_ml.seeds import derive, generator

ANCHORS = 32
"""Anchors that are compared with all training windows at once."""


def joint(features: np.ndarray, targets: np.ndarray, beta: float) -> np.ndarray:
    """z = [phi, sqrt(beta) psi] as rows: n x (d + q)."""
    return np.concatenate([features, np.sqrt(beta) * targets], axis=1)


def means(rows: np.ndarray, count: int, iterations: int, seed: int) -> np.ndarray:
    """The `count` centres of k-means (k-means++, then at most `iterations` of Lloyd's): at most n x width."""
    from sklearn.cluster import KMeans

    count = min(count, len(np.unique(rows, axis=0)))
    fitted = KMeans(count, n_init=1, max_iter=iterations, algorithm="lloyd",
                    random_state=derive(seed, "centres") % 2**32)
    with threadpool_limits(1):
        return fitted.fit(rows).cluster_centers_


def regressions(features: np.ndarray, targets: np.ndarray, rows: np.ndarray, centres: np.ndarray, neighbours: int,
                ridge: float) -> Arrays:
    """The affine ridge regression of each centre among its `neighbours` nearest joint rows.

    With phi and psi less their means over the neighbours, W_k = (Phi^T Phi + lambda I)^-1 Phi^T Psi. Gives `phi` (K x
    d) and `psi` (K x q), these means, and `maps` W (K x d x q).
    """
    near, width = min(neighbours, len(rows)), features.shape[1]
    phis, psis = np.empty((len(centres), width)), np.empty((len(centres), targets.shape[1]))
    maps = np.empty((len(centres), width, targets.shape[1]))
    squares = (rows ** 2).sum(axis=1)
    for start in range(0, len(centres), ANCHORS):
        for number, distances in enumerate(squares - 2 * centres[start:start + ANCHORS] @ rows.T, start):
            chosen = np.sort(np.argpartition(distances, near - 1)[:near])  # sorted, so that sums have one order
            phi, psi = features[chosen], targets[chosen]
            phis[number], psis[number] = phi.mean(axis=0), psi.mean(axis=0)
            phi, psi = phi - phis[number], psi - psis[number]
            maps[number] = np.linalg.solve(phi.T @ phi + ridge * np.eye(width), phi.T @ psi)
    return {"phi": phis, "psi": psis, "maps": maps}


def nearest(features: np.ndarray, targets: np.ndarray, known: np.ndarray, centres: np.ndarray, beta: float,
            count: int) -> tuple[np.ndarray, np.ndarray]:
    """The `count` nearest centres of each window and their squared distances, nearest first: both n x count.

    A centre is [c_phi, sqrt(beta) c_psi]. d = |phi - c_phi|^2 + beta times the squares of psi - c_psi over the entries
    that are `known` (n x q of 0 and 1); `targets` is 0 where it is not known.
    """
    width = features.shape[1]
    left, right = centres[:, :width], centres[:, width:]
    distances = (features ** 2).sum(axis=1)[:, None] - 2 * features @ left.T + (left ** 2).sum(axis=1)
    if beta > 0:
        scaled = np.sqrt(beta) * targets
        distances += (scaled ** 2).sum(axis=1)[:, None] - 2 * scaled @ right.T + known @ (right ** 2).T
    count = min(count, len(centres))
    best = np.argpartition(distances, count - 1, axis=1)[:, :count]
    found = np.maximum(np.take_along_axis(distances, best, axis=1), 0)
    order = np.lexsort((best, found), axis=1)
    return np.take_along_axis(best, order, axis=1), np.take_along_axis(found, order, axis=1)


def blend(features: np.ndarray, best: np.ndarray, distances: np.ndarray, scale: float, fitted: Arrays) -> np.ndarray:
    """The weighted mean of the regressions `best` of each window, weights exp(-(d - d_min) / (2 scale)): n x q."""
    weights = np.exp(-(distances - distances[:, :1]) / (2 * scale))
    weights /= weights.sum(axis=1, keepdims=True)
    out = np.zeros((len(features), fitted["psi"].shape[1]))
    for number in np.unique(best):
        rows, columns = np.nonzero(best == number)
        predicted = fitted["psi"][number] + (features[rows] - fitted["phi"][number]) @ fitted["maps"][number]
        out[rows] += weights[rows, columns, None] * predicted
    return out


class JNR(SceneRegression):
    """Anchors in the joint space of both dates, affine ridge regressions around them, the nearest few blended.

    Settings beside those of `SceneRegression`: `anchors` K, `iterations` of the k-means and the `signals` that it is
    fitted on, `beta` (weight of the target's part among neighbours; 0 leaves it out), `neighbours` N, `ridge` lambda,
    `nearest` m, the anchors that a window is blended from. Of the card's options the distance between places (0 there)
    and a second pass with the first estimate (no gain there) are left out.
    """

    paper: ClassVar = {**COMMON, "anchors": 1024, "iterations": 40, "signals": 20000, "beta": 1.0, "neighbours": 2048,
                       "ridge": 0.1, "nearest": 3}
    reading = ("what joint neighbourhood regression is: the source gives a title and pictures. Anchors by k-means of "
               "both dates' windows, squared distances, the median of the scene's smallest as their scale")

    def fit(self, features: np.ndarray, targets: np.ndarray, seed: int) -> Arrays:
        """`centres` (K x (d + q)) and what `regressions` gives."""
        setting = self.settings
        rows = joint(features, targets, setting["beta"])
        centres = means(some(rows, setting["signals"], generator(seed, "rs_jnr")), setting["anchors"],
                        setting["iterations"], seed)
        return {"centres": centres, **regressions(features, targets, rows, centres, setting["neighbours"],
                                                  setting["ridge"])}

    def _nearest(self, features: np.ndarray, arrays: Arrays, dates: TwoDates,
                 places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return nearest(features, dates.targets(places), dates.known(places), arrays["centres"], self.settings["beta"],
                       self.settings["nearest"])

    def meet(self, arrays: Arrays, dates: TwoDates) -> Arrays:
        """The median over the scene's touched windows of the distance to the nearest anchor, as `scale`."""
        smallest = [self._nearest(self.features(arrays, dates, places), arrays, dates, places)[1][:, 0]
                    for places in chunks(dates.touched)]
        return {**arrays, "scale": np.maximum(np.median(np.concatenate(smallest)), 1e-12)}

    def predict(self, arrays: Arrays, dates: TwoDates, places: np.ndarray) -> np.ndarray:
        """The blended regressions of each window's nearest anchors."""
        features = self.features(arrays, dates, places)
        best, distances = self._nearest(features, arrays, dates, places)
        return blend(features, best, distances, float(arrays["scale"]), arrays)


METHOD = JNR
