"""An enlargement by two."""

import numpy as np

from tests.tasks.examples import Arrays, Example, noisy, picture


def sample() -> Example:
    rgb = picture()
    return {"lr": rgb[::2, ::2].copy(), "scale": np.array(2, np.int32)}, {"sr": noisy(rgb)}, {"hr": rgb}


def perfect(target: Arrays) -> Arrays:
    return {"sr": target["hr"]}
