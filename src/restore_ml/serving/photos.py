"""A person's own picture in, a restored picture out; what differs between tasks is said by `restore_ml.tasks.photos`.

The pictures of a comparison come from samples with a known truth; here there is none. Any size is taken.
"""

from __future__ import annotations

import numpy as np

from restore_ml import registry
from restore_ml.arrays import Arrays
from restore_ml.base.errors import UserError
from restore_ml.method import Method, Model
from restore_ml.restoring.harness import restore
from restore_ml.tasks.cropping import three_channels
from restore_ml.tasks.photos import Photos, Restorer


def of_task(task: str) -> Photos:
    """What a person gives of that task and gets; `UserError` where it takes no photographs."""
    photos = registry.photos(task)
    if photos is None:
        taken = registry.task(task)
        if taken.domain == "photos":
            raise UserError(f"{task} takes {' and '.join(taken.roles)} together, not one photograph; restore them with "
                            "the pipeline.")
        raise UserError(f"{task} takes {taken.domain}, not photographs; restore them with the pipeline.")
    return photos


def restore_photo(method: Method, model: Model, picture: np.ndarray, mask: np.ndarray | None = None,
                  scale: int | None = None, seed: int = 1, given: Arrays | None = None) -> np.ndarray:
    """Restore a photograph, H x W x C uint8 (C 1 or 3), of any size; returns H x W x 3 uint8.

    `mask`: H x W, nonzero = missing, where the task takes one. `scale`: the factor where it enlarges. `given`: optional
    inputs, as `Photos.given` reads them. Raises `UserError` for a picture that the task cannot take (no mask, a mask of
    another size or one that marks nothing or everything, satellite scenes).
    """
    photos = of_task(method.task)
    return photos.restore(three_channels(picture), mask, scale, Restorer(method, model, seed, restore, given or {}))
