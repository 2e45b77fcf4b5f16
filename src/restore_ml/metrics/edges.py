"""How well a filling continues the picture's edges: precision and recall of Canny's edges inside the hole.

Source: the edge accuracy of Nazeri, Ng, Joseph, Qureshi, Ebrahimi (EdgeConnect), ICCVW 2019, there of the edge
network's map; here of the restored picture's edges, so that every method has one.
"""

from __future__ import annotations

import numpy as np

from restore_ml.metrics.fidelity import Array, same_shape
from restore_ml.metrics.hole import missing

GREY = (0.2125, 0.7154, 0.0721)
"""Weights of R, G, B, as scikit-image's `rgb2gray` has them."""


def edges_of(picture: Array, sigma: float = 2.0) -> Array:
    """Canny's edges (scikit-image's thresholds) of an H x W x 3 picture of 0 ... 255: H x W bool."""
    from skimage.feature import canny

    return canny(picture.astype(np.float64) @ np.array(GREY) / 255, sigma=sigma)


def edge_precision_recall(restored: Array, truth: Array, mask: Array, sigma: float = 2.0) -> tuple[float, float]:
    """Of the restored picture's edge pixels in the hole the share that the truth has too, and the share of the truth's
    that the restored picture has.

    NaN where there is none to have a share of. Both pictures H x W x 3 of 0 ... 255, known pixels included: the edges
    around the hole belong to those inside.
    """
    same_shape(restored, truth)
    hole = missing(mask)
    found, wanted = edges_of(restored, sigma)[hole], edges_of(truth, sigma)[hole]
    hits = float((found & wanted).sum())
    return (hits / found.sum() if found.any() else float("nan"), hits / wanted.sum() if wanted.any() else float("nan"))
