"""A piece of a photograph, and the same in other colours as the painting; kept as it is, it is all content."""

import numpy as np

from tests.tasks.examples import Arrays, Example, noisy, picture

BEST = 1.0


def sample() -> Example:
    rgb = picture()
    return {"content": rgb, "style": np.ascontiguousarray(rgb[::-1, :, ::-1])}, {"image": noisy(rgb)}, {}


def perfect(target: Arrays) -> Arrays:
    return {"image": picture()}
