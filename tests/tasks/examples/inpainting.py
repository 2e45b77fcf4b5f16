"""A hole in a picture."""

import numpy as np

from tests.tasks.examples import Arrays, Example, hole, noisy, picture


def sample() -> Example:
    rgb, mask = picture(), hole()
    return {"image": rgb * (1 - mask), "mask": mask}, {"image": np.where(mask > 0, noisy(rgb), rgb)}, {"image": rgb}


def perfect(target: Arrays) -> Arrays:
    return {"image": target["image"]}
