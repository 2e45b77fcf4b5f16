"""A hole in four bands."""

import numpy as np

from tests.tasks.examples import Arrays, Example, hole


def sample() -> Example:
    bands, mask = np.random.default_rng(0).random((64, 64, 4)).astype(np.float32), hole()
    return ({"target": np.where(mask > 0, np.float32(1), bands), "reference": bands, "mask": mask},
            {"image": np.where(mask > 0, np.float32(0.5), bands)}, {"truth": bands})


def perfect(target: Arrays) -> Arrays:
    return {"image": target["truth"]}
