"""A picture with lines drawn over it, and a sketch that is a little wrong."""

import numpy as np

from tests.tasks.examples import Arrays, Example, noisy, picture

BEST = 1.0


def sample() -> Example:
    photo = picture()
    sketch = 255 - np.abs(photo.astype(np.int16) - np.roll(photo, 1, axis=1)).clip(0, 255).astype(np.uint8)
    return {"source": photo, "direction": np.array(0, np.int32)}, {"picture": noisy(sketch)}, {"truth": sketch}


def perfect(target: Arrays) -> Arrays:
    return {"picture": target["truth"]}
