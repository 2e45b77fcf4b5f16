"""Four of five contrasts of a slice of 64 x 16 pixels, which are shown in a row: 64 x 64. FLAIR is missing, which alone
shows the lesion; what was made lacks half of it."""

import numpy as np

from tests.tasks.examples import Arrays, Example, noisy, picture


def sample() -> Example:
    rgb = picture()[:, 24:40]
    truth = np.concatenate([rgb[..., :1], rgb, 255 - rgb[..., :1]], axis=2) * np.array([1, 0, 1, 1, 1], np.uint8)
    given, labels = np.array([1, 0, 1, 1, 0], np.float32), np.zeros((64, 16, 1), np.uint8)
    truth[..., 4] = np.minimum(truth[..., 4], 180)
    labels[20:30, 4:12], truth[20:30, 4:12, 4] = 2, 250
    seen = truth * given.astype(np.uint8)
    wrong = np.concatenate([seen[..., :4], noisy(np.repeat(truth[..., 4:], 3, 2))[..., :1]], axis=2)
    wrong[20:30, 4:8, 4] = 0
    return ({"contrasts": seen, "given": given, "wanted": np.array([0, 0, 0, 0, 1], np.float32)},
            {"contrasts": wrong},
            {"truth": truth, "there": np.array([1, 0, 1, 1, 1], np.float32), "labels": labels})


def perfect(target: Arrays) -> Arrays:
    return {"contrasts": target["truth"]}
