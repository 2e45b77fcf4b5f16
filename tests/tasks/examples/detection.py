"""Three objects: one is found, one missed by its half, one not at all."""

import numpy as np

from tests.tasks.examples import Arrays, Example, picture

BEST = 1.0


def sample() -> Example:
    true = np.array([[4, 6, 20, 24], [30, 8, 50, 28], [10, 40, 30, 60]], np.float32)
    found = np.array([[4, 6, 20, 23], [42, 8, 62, 28]], np.float32)
    output = {"boxes": found, "labels": np.zeros(2, np.float32), "scores": np.array([0.9, 0.7], np.float32)}
    return {"image": picture()}, output, {"boxes": true, "labels": np.zeros(3, np.float32)}


def perfect(target: Arrays) -> Arrays:
    return {**target, "scores": np.ones(len(target["boxes"]), np.float32)}
