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
