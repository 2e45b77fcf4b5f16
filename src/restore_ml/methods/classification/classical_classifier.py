"""Classification before networks: features of the picture, then the nearest neighbours or a linear machine.

Nearest neighbours with Lp distances (Cover, Hart, IEEE Trans. Information Theory 1967), and histograms of oriented
gradients with a linear support vector machine (Dalal, Triggs, CVPR 2005); the method card `classical_classifier`.
Beside the gradients the machine may see a histogram of colours (Swain, Ballard, IJCV 1991).
scikit-image makes the histograms and scikit-learn fits the machine; what is stored are plain arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np

from restore_ml.arrays import Arrays, words
from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import rgb_to_lab
from restore_ml.method import Method, Model
from restore_ml.seeds import derive
from restore_ml.tasks.squares import grey_square, square

if TYPE_CHECKING:
    from restore_ml.tasks.base import Material

ROUNDS = 20_000
"""Of the solver at most."""
BINS, REACH = 8, 64
"""Of the histogram of colours: how many on each axis, and to which a and b."""


class ClassicalClassifier(Method):
    """`classifier`: `neighbours` (the class that most of the `k` nearest training pictures have, by the `p` norm) or
    `svm` (the largest margin of one machine a class, with the penalty `c`). `features`: `pixels` (grey levels) or `hog`
    (9 orientations, cells of 8 x 8, blocks of 2 x 2), of the picture as a grey square of `side` pixels, or
    `hog_colour`, the same with the `colours` of that square. `class_sets`: those that it learns; it has a model for
    each.
    """

    task = "classification"
    reading = "only hog_colour uses colour; a picture is stretched to a square"
    paper: ClassVar[dict[str, Any]] = {"features": "hog", "classifier": "svm", "side": 32, "k": 1, "p": 2, "c": 1.0,
                                       "class_sets": ["digits", "crops"]}
    choices: ClassVar = {"features": ("pixels", "hog", "hog_colour"), "classifier": ("neighbours", "svm"), "p": (1, 2)}

    def unsupported(self, degradation: str) -> str | None:
        """Class sets that it did not learn."""
        return None if degradation in self.settings["class_sets"] else f"did not learn the classes of {degradation}"

    def prepare(self, material: Material, seed: int) -> Arrays:
        """For each class set `<set>.classes` (the names, as in the input), and for neighbours `<set>.features` (n x D)
        and `<set>.numbers` (n), for machines `<set>.weights` (K x D), `<set>.offsets` (K) and `<set>.numbers` (K)."""
        arrays: Arrays = {}
        for name in self.settings["class_sets"]:
            pool = material.pool(name)
            if not len(pool):
                raise UserError(f"There is no training picture of the class set {name!r}; add some with `restore-ml "
                                "data add --domain labelled`, or leave it out of the run's `class_sets`.")
            features = np.stack([self.features_of(record.arrays["image"]) for record in pool])
            numbers = np.array([int(record.arrays["number"]) for record in pool], np.int32)
            fitted = {"features": features, "numbers": numbers}
            if self.settings["classifier"] == "svm":
                fitted = machines(features, numbers, self.settings["c"], derive(seed, "svm", name))
            arrays |= {f"{name}.{key}": value for key, value in fitted.items()}
            arrays[f"{name}.classes"] = pool[0].arrays["classes"]
        return arrays

    def features_of(self, picture: np.ndarray) -> np.ndarray:
        """H x W x C uint8 to side^2 uint8 (pixels) or float32 numbers (hog; 324 at a side of 32, 72 more of colour)."""
        side, three = self.settings["side"], np.broadcast_to(picture, (*picture.shape[:2], 3))
        grey = grey_square(three, side)
        if self.settings["features"] == "pixels":
            return grey.ravel()
        from skimage.feature import hog

        gradients = hog(grey, orientations=9, pixels_per_cell=(8, 8), cells_per_block=(2, 2)).astype(np.float32)
        return gradients if self.settings["features"] == "hog" else np.concatenate([
            gradients, colours(square(three, side))])

    def knows(self, model: Model) -> dict[str, list[str]]:
        """The names of the classes of each class set that the model learned, in their order."""
        return {name: words(model.arrays[f"{name}.classes"]).split("\n") for name in self.settings["class_sets"]}

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`label`, and of more than one neighbour `probabilities`, the shares of their votes."""
        asked = words(inputs["classes"])
        name = next((key for key in self.settings["class_sets"] if words(model.arrays[f"{key}.classes"]) == asked), "")
        if not name:
            raise UserError(f"The model does not know these classes: {', '.join(asked.split())}.")
        features, numbers = self.features_of(inputs["image"]), model.arrays[f"{name}.numbers"]
        if self.settings["classifier"] == "svm":
            margins = model.arrays[f"{name}.weights"] @ features + model.arrays[f"{name}.offsets"]
            return {"label": np.array(numbers[margins.argmax()], np.int32)}
        near = nearest(model.arrays[f"{name}.features"], features, self.settings["k"], self.settings["p"])
        votes = np.bincount(numbers[near], minlength=asked.count("\n") + 1)
        label = np.array(votes.argmax(), np.int32)
        if self.settings["k"] == 1:
            return {"label": label}
        return {"label": label, "probabilities": (votes / votes.sum()).astype(np.float32)}


def colours(picture: np.ndarray) -> np.ndarray:
    """The square roots of the shares of an H x W x 3 uint8 picture's pixels in bins of Lab colour, 72 float32 numbers:
    BINS x BINS of a and b between -REACH and REACH, a the slower, then BINS of L; what lies beyond counts to the last
    bin. Roots, so that the machine compares histograms by their overlap (Hellinger) instead of by their largest bin."""
    lab = rgb_to_lab(picture).reshape(-1, 3)
    chroma = np.clip(np.floor((lab[:, 1:] + REACH) * (BINS / (2 * REACH))), 0, BINS - 1).astype(np.int64)
    light = np.clip(np.floor(lab[:, 0] * (BINS / 100)), 0, BINS - 1).astype(np.int64)
    counts = np.concatenate([np.bincount(chroma[:, 0] * BINS + chroma[:, 1], minlength=BINS * BINS),
                             np.bincount(light, minlength=BINS)])
    return np.sqrt(counts / len(lab)).astype(np.float32)


def nearest(features: np.ndarray, one: np.ndarray, k: int, p: int) -> np.ndarray:
    """The rows of `features` (n x D) that are the `k` nearest to `one` (D) by the `p` norm, the nearest first; of equal
    ones the first. uint8 is compared exactly, by OpenCV in a tenth of numpy's time."""
    if features.dtype == np.uint8:
        norm = cv2.NORM_L1 if p == 1 else cv2.NORM_L2SQR
        _, rows = cv2.batchDistance(one[None], features, cv2.CV_32S, normType=norm, K=min(k, len(features)))
        return rows[0]
    difference = features.astype(np.float64) - one
    distances = (np.abs(difference) if p == 1 else np.square(difference)).sum(axis=1)
    return np.argsort(distances, kind="stable")[:k]


def machines(features: np.ndarray, numbers: np.ndarray, c: float, seed: int) -> Arrays:
    """Linear machines, each of one class against all others: `weights` (K x D), `offsets` and class `numbers` (K)."""
    from sklearn.svm import LinearSVC

    classes = np.unique(numbers)
    if len(classes) == 1:  # there is nothing to tell it from
        return {"weights": np.zeros((1, features.shape[1]), np.float32), "offsets": np.zeros(1, np.float32),
                "numbers": classes}
    scaled = features / np.float32(255) if features.dtype == np.uint8 else features
    fitted = LinearSVC(C=c, random_state=seed % 2**31, max_iter=ROUNDS).fit(scaled, numbers)
    weights, offsets = fitted.coef_, fitted.intercept_
    if len(classes) == 2:  # one machine, whose sign chooses
        weights, offsets = np.vstack([-weights, weights]), np.concatenate([-offsets, offsets])
    if features.dtype == np.uint8:
        weights = weights / 255
    return {"weights": weights.astype(np.float32), "offsets": offsets.astype(np.float32), "numbers": classes}


METHOD = ClassicalClassifier
