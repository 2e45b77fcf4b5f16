"""What is known of a training face beside its attributes: where five landmarks lie, and which part each pixel shows.

Training records hold both where the prepared face has them, in pixels of the stored face, and `Training.sample` turns
them with the face. Test samples hold neither, and nobody is asked for them. A method that learns from them declares
`derived = LEARNED` and gives `learned(target)` in its `derive`; its losses find them in `context.inputs`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from restore_ml.arrays import Arrays, ArraySpec
from restore_ml.kinds import LABELS, POINTS, VECTOR
from restore_ml.tasks.cropping import centre_square

LANDMARKS = 5
"""The first ones of the domain `faces`: right eye, left eye, tip of the nose, right and left corner of the mouth."""
PARTS = 9
"""Classes of the domain's parsing maps."""
ANNOTATIONS = {"landmarks": ArraySpec(POINTS, LANDMARKS, size_of="hr", pairs=((0, 1), (3, 4))),
               "parsing": ArraySpec(LABELS, PARTS, high=PARTS - 1, size_of="hr")}
"""5 x 2 (x, y) and S x S x 1; in a mirrored face the left eye is the right one, and so are the corners of the mouth."""
LEARNED = {**ANNOTATIONS, "annotated": ArraySpec(VECTOR, 2, low=0, high=1)}
"""What a method gets: zeros for what is not known, and in `annotated` whether landmarks and parsing are (1 or 0)."""


def annotations_of(arrays: Mapping[str, np.ndarray], size: int) -> Arrays:
    """`landmarks` and `parsing` of a prepared face as they lie in `face(image, size)`; what is not known is left out.

    A landmark outside of the square that `face` cuts lies outside of the face too. A pixel has the class of the nearest
    one before.
    """
    made: Arrays = {}
    height, width = arrays["image"].shape[:2]
    side = min(height, width)
    if len(arrays.get("landmarks", ())) >= LANDMARKS:
        inside = arrays["landmarks"][:LANDMARKS] - np.array([(width - side) // 2, (height - side) // 2])
        made["landmarks"] = ((inside + 0.5) * (size / side) - 0.5).astype(np.float32)
    if "parsing" in arrays:
        square = centre_square(arrays["parsing"], min(arrays["parsing"].shape[:2]))
        nearest = (2 * np.arange(size) + 1) * len(square) // (2 * size)
        made["parsing"] = np.ascontiguousarray(square[nearest][:, nearest])
    return made


def learned(target: Mapping[str, np.ndarray] | None) -> Arrays:
    """The arrays of `LEARNED` from the truth of a training sample; nothing while restoring, where there is none."""
    if target is None:
        return {}
    side = len(target["hr"])
    unknown: Arrays = {"landmarks": np.zeros((LANDMARKS, 2), np.float32),
                       "parsing": np.zeros((side, side, 1), np.uint8)}
    return {**{name: target.get(name, value) for name, value in unknown.items()},
            "annotated": np.array([name in target for name in unknown], np.float32)}
