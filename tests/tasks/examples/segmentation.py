"""Three nuclei, two of which touch; the wrong output finds them in one, and a piece of nothing."""

import numpy as np

from tests.tasks.examples import Arrays, Example, picture

BEST = 1.0


def sample() -> Example:
    instances, found = np.zeros((64, 64, 1), np.int32), np.zeros((64, 64, 1), np.int32)
    instances[8:28, 8:24], instances[8:28, 24:40], instances[40:56, 20:44] = 1, 2, 3
    found[8:28, 10:40], found[40:54, 20:44], found[60:64, 60:64] = 1, 2, 3
    return ({"image": picture()}, {"labels": (found > 0).astype(np.uint8), "instances": found},
            {"labels": (instances > 0).astype(np.uint8), "instances": instances})


def perfect(target: Arrays) -> Arrays:
    return dict(target)
