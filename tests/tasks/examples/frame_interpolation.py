"""A picture that moves by three pixels a frame."""

import numpy as np

from tests.tasks.examples import Arrays, Example, noisy, picture


def sample() -> Example:
    rgb = picture()
    moved = {"before": np.roll(rgb, 3, axis=1), "after": np.roll(rgb, -3, axis=1)}
    return {**moved, "percent": np.array(50, np.int32)}, {"frame": noisy(rgb)}, {"truth": rgb}


def perfect(target: Arrays) -> Arrays:
    return {"frame": target["truth"]}
