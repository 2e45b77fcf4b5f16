"""A slice of a brain of which some contrasts are hidden, in training and in tests."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from restore_ml.tasks.base import Sample


def without(arrays: Mapping[str, np.ndarray], wanted: np.ndarray, given: np.ndarray) -> Sample:
    """The sample of a slice (`contrasts`, `there` and, where somebody has drawn them, `labels`) of which the contrasts
    `given` are seen and those `wanted` are asked for (5 numbers of 0 and 1 each)."""
    truth, there = arrays["contrasts"], arrays["there"].astype(np.float32)
    labels = arrays["labels"] if "labels" in arrays else np.zeros((*truth.shape[:2], 1), np.uint8)
    given = given.astype(np.float32)
    return Sample({"contrasts": truth * given.astype(np.uint8), "given": given, "wanted": wanted.astype(np.float32)},
                  {"truth": np.ascontiguousarray(truth), "there": there, "labels": np.ascontiguousarray(labels)})
