"""The fixed segmenter behind the figure `dice_lesion`: does whoever looks for lesions find them in made contrasts too?

Source: the method cards, 2.2 ("downstream Dice"), and 1.11 for Dice.
reading: the cards do not say which segmenter. This one is a decision tree on the five contrasts of a pixel, each
smoothed a little. It is fitted to the true contrasts of the test case, is the same for all methods, and sees what a
method made only afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from restore_ml.arrays import Arrays

if TYPE_CHECKING:
    from sklearn.tree import DecisionTreeClassifier

SIGMA = 1.0
"""Of the smoothing, in pixels."""
DEPTH, LEAF = 8, 20
"""Questions that the tree asks at most; pixels that answer alike at least."""
PIXELS = 20_000
"""So many of the case's pixels are learned from, in equal steps through all of them."""


class Segmenter:
    """A fitted tree."""

    def __init__(self, tree: DecisionTreeClassifier) -> None:
        self.tree = tree

    def __call__(self, contrasts: np.ndarray) -> np.ndarray:
        """H x W x 5 uint8 -> bool H x W: where it sees a lesion. Outside of the brain: nowhere."""
        brain = contrasts.any(axis=2)
        found = np.zeros(brain.shape, bool)
        if brain.any():
            found[brain] = self.tree.predict(_smooth(contrasts)[brain])
        return found


def fitted(targets: Iterable[Arrays]) -> Segmenter | None:
    """The segmenter of a case, from its `truth` and `labels`; None where no lesion is drawn in it."""
    from sklearn.tree import DecisionTreeClassifier

    pixels, lesions = [], []
    for target in targets:
        brain = target["truth"].any(axis=2)
        pixels.append(_smooth(target["truth"])[brain])
        lesions.append(target["labels"][..., 0][brain] > 0)
    seen, sick = np.concatenate(pixels), np.concatenate(lesions)
    if not sick.any():
        return None
    step = -(-len(seen) // PIXELS)
    tree = DecisionTreeClassifier(max_depth=DEPTH, min_samples_leaf=LEAF, random_state=0)
    return Segmenter(tree.fit(seen[::step], sick[::step]))


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    """2 |found and truth| / (|found| + |truth|) of two masks; 1 where both are empty.

    >>> dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    total = int(found.sum()) + int(truth.sum())
    return 2 * int((found & truth).sum()) / total if total else 1.0


def _smooth(contrasts: np.ndarray) -> np.ndarray:
    """Each contrast smoothed by a Gaussian, float32."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(contrasts.astype(np.float32), (SIGMA, SIGMA, 0))
