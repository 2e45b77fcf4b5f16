"""A picture that moves by a pixel a frame."""

import numpy as np

from restore_ml.degradations.resize import imresize
from tests.tasks.examples import Arrays, Example, noisy, picture


def sample() -> Example:
    hr = np.stack([np.roll(picture(), step, axis=1) for step in range(9)])
    lr = np.stack([imresize(frame, 1 / 4) for frame in hr])
    return {"lr": lr, "scale": np.array(4, np.int32)}, {"sr": np.stack([noisy(frame) for frame in hr])}, {"hr": hr}


def perfect(target: Arrays) -> Arrays:
    return {"sr": target["hr"]}
