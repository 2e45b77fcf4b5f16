"""A grey picture with one hint, and half of its colour."""

import numpy as np
from skimage.color import rgb2lab

from tests.tasks.examples import Arrays, Example, picture


def sample() -> Example:
    rgb = picture()
    lab = rgb2lab(rgb).astype(np.float32)
    ab = np.ascontiguousarray(lab[..., 1:])
    hinted = np.zeros((64, 64, 1), np.float32)
    hinted[30:34, 30:34] = 1
    return {"L": lab[..., :1], "hint": ab * hinted, "hinted": hinted}, {"ab": 0.5 * ab}, {"ab": ab, "rgb": rgb}


def perfect(target: Arrays) -> Arrays:
    return {"ab": target["ab"]}
