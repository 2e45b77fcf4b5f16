"""Classical segmentation: grey levels tell nuclei from background, distances to the background tell them apart.

Source: the method card `classical_segmentation`; Otsu, IEEE Trans. SMC 9(1), 1979; Meyer's watershed. scikit-image,
OpenCV and scipy do the work.
"""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.method import Method, Model
from restore_ml.tasks.segmentation.instances import split_touching

TOLERANCE = 1.5
"""How far a region grows from its local extreme, in standard deviations of the noise."""
STEEP = (0.3, 0.6)
"""Canny's thresholds of a picture whose contrast is 1."""


class ClassicalSegmentation(Method):
    """`kind`: `otsu` (the threshold of the largest variance between classes), `kmeans` (two clusters of grey levels),
    `region_grow` (regions grown from local extremes of brightness), `canny_fill` (edges, the closed ones filled).
    An opening follows; then nuclei are told apart by `separate`: `watershed`, or connected `components`.

    Nuclei are the minority: where they would be more than half of the field, foreground and background change places.

    reading: regions grow as far as brightness is within the tolerance of their extreme, and then to the steepest
    change; edges are as steep as STEEP of the picture's contrast (of 0.2 to 1.2 for the upper one, 0.6 was the best on
    training and validation fields), and are closed by a dilation; the opening is a cross of 3 x 3.
    """

    task = "segmentation"
    paper: ClassVar[dict[str, Any]] = {"kind": "otsu", "separate": "watershed"}
    choices: ClassVar = {"kind": ("otsu", "kmeans", "region_grow", "canny_fill"),
                         "separate": ("watershed", "components")}
    reading = "how regions grow, how steep edges are and how they are closed, the opening"

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`image` (H x W x 3 uint8) -> `labels` and `instances`, H x W x 1; nothing is drawn."""
        from scipy.ndimage import binary_opening, label

        grey = cv2.cvtColor(np.ascontiguousarray(inputs["image"]), cv2.COLOR_RGB2GRAY)
        nuclei = KINDS[self.settings["kind"]](grey)
        if nuclei.mean() > 0.5:
            nuclei = ~nuclei
        nuclei = binary_opening(nuclei)
        watershed = self.settings["separate"] == "watershed"
        instances = split_touching(nuclei) if watershed else label(nuclei)[0]
        return {"labels": nuclei[..., None].astype(np.float32), "instances": instances[..., None].astype(np.float32)}


def _otsu(grey: np.ndarray) -> np.ndarray:
    from skimage.filters import threshold_otsu

    return grey > threshold_otsu(grey)


def _kmeans(grey: np.ndarray) -> np.ndarray:
    """Lloyd's iterations from the two halves of the range of levels: nothing is drawn."""
    low, high = int(grey.min()), int(grey.max())
    if low == high:
        return np.zeros(grey.shape, bool)
    start = (grey.ravel() > (low + high) / 2).astype(np.int32)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-3)
    _, clusters, centres = cv2.kmeans(grey.reshape(-1, 1).astype(np.float32), 2, start, stop, 1,
                                      cv2.KMEANS_USE_INITIAL_LABELS)
    bright: np.ndarray = clusters.reshape(grey.shape) == int(centres.ravel().argmax())
    return bright


def noise(grey: np.ndarray) -> float:
    """The standard deviation of the noise, from the median of the finest diagonal Haar coefficients (Donoho and
    Johnstone, Biometrika 81, 1994)."""
    levels = grey.astype(np.float64)
    diagonal = (levels[:-1, :-1] - levels[:-1, 1:] - levels[1:, :-1] + levels[1:, 1:]) / 2
    return float(np.median(np.abs(diagonal)) / 0.6745)


def _region_grow(grey: np.ndarray) -> np.ndarray:
    """From each local extreme of a slightly smoothed picture a region grows as far as the picture stays within the
    tolerance of it. Regions of maxima above the picture's mean are nuclei, those of minima below it are background;
    both grow on to where the picture changes most."""
    from scipy.ndimage import gaussian_filter
    from skimage.filters import sobel
    from skimage.morphology import reconstruction
    from skimage.segmentation import watershed

    smooth = gaussian_filter(grey.astype(np.float64), 1.0)
    tolerance = TOLERANCE * max(noise(grey), 0.5)
    marks = np.zeros(grey.shape, np.int32)
    for sign, mark in ((-1, 2), (1, 1)):
        levels = sign * smooth
        tops = levels > reconstruction(levels - tolerance, levels)  # a neighbour's higher top takes a lower one in
        marks[tops & (levels > levels.mean())] = mark
    if not (marks == 1).any():
        return np.zeros(grey.shape, bool)
    grown: np.ndarray = watershed(sobel(smooth), marks)
    return grown == 1


def _canny_fill(grey: np.ndarray) -> np.ndarray:
    """Edges of a picture whose contrast, the difference between the means of Otsu's two classes, is made 1."""
    from scipy.ndimage import binary_dilation, binary_erosion, binary_fill_holes
    from skimage.feature import canny

    bright = _otsu(grey)
    if not bright.any():
        return bright
    levels = grey.astype(np.float64)
    contrast = levels[bright].mean() - levels[~bright].mean()
    edges = binary_dilation(canny(levels / contrast, low_threshold=STEEP[0], high_threshold=STEEP[1]))
    return binary_erosion(binary_fill_holes(edges))


KINDS = {"otsu": _otsu, "kmeans": _kmeans, "region_grow": _region_grow, "canny_fill": _canny_fill}
"""H x W uint8 -> H x W bool."""
METHOD = ClassicalSegmentation
