"""A piece of a photograph in a face's place, an eighth of its size."""

import numpy as np

from restore_ml.degradations.resize import imresize
from tests.tasks.examples import Arrays, Example, noisy, picture


def sample() -> Example:
    rgb = picture()
    inputs = {"lr": imresize(rgb, 1 / 8), "scale": np.array(8, np.int32)}
    return inputs, {"sr": noisy(rgb)}, {"hr": rgb, "hr_attributes": np.zeros(40, np.float32)}


def perfect(target: Arrays) -> Arrays:
    return {"sr": target["hr"]}


def beside(number: int) -> Arrays:
    """Landmarks and a parsing map, from which methods may learn."""
    points = np.array([[20, 20], [40, 20], [30, 30], [22, 42], [38, 42]], np.float32) + number % 5
    labels = np.add.outer(np.arange(48), np.arange(48)) // 8 % 9
    return {"landmarks": points, "parsing": labels.astype(np.uint8)[..., None]}
