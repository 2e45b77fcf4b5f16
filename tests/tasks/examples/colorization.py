"""A grey picture, and half of its colour."""

import numpy as np
from skimage.color import rgb2lab

from tests.tasks.examples import Arrays, Example, picture


def sample() -> Example:
    rgb = picture()
    lab = rgb2lab(rgb).astype(np.float32)
    return {"L": lab[..., :1]}, {"ab": 0.5 * lab[..., 1:]}, {"ab": lab[..., 1:], "rgb": rgb}


def perfect(target: Arrays) -> Arrays:
    return {"ab": target["ab"]}
