"""A noisy picture."""

import numpy as np

from tests.tasks.examples import Arrays, Example, noisy, picture


def sample() -> Example:
    rgb = picture()
    return {"image": noisy(rgb)}, {"image": noisy(rgb)}, {"image": rgb, "scratches": np.zeros((64, 64, 1), np.uint8)}


def perfect(target: Arrays) -> Arrays:
    return {"image": target["image"]}
