"""Colorization for other tools: a grey picture in, the picture in colour out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.degradations.colour import rgb_to_lab, to_rgb8
from restore_ml.tasks.colorization.task import TASK
from restore_ml.tasks.sample_files import PICTURE, Made, SampleFiles, Wanted


class ColorizationFiles(SampleFiles):
    """`grey` is the lightness as a grey picture. Of the result the colours (a and b of Lab) count, joined to the
    lightness that was given; the columns `raw_` show the picture as it came."""

    def given(self, inputs: Arrays) -> dict[str, Made]:
        """The grey picture of that lightness, 8 bit."""
        return {"grey": Made(PICTURE, grey(inputs["L"]))}

    def told(self, inputs: Arrays) -> dict[str, Any]:
        """Nothing beside it."""
        return {}

    def wanted(self, inputs: Arrays) -> dict[str, Wanted]:
        """The picture in colour."""
        return {"rgb": Wanted(PICTURE, inputs["L"].shape[:2], 3)}

    def output(self, inputs: Arrays, files: Mapping[str, Any]) -> Arrays:
        """Its colours; where the task takes it, the picture itself."""
        ab = rgb_to_lab(files["rgb"].astype(np.float32) / np.float32(255))[..., 1:]
        own = {"rgb": files["rgb"]} if "rgb" in self.task.output else {}
        return {"ab": np.ascontiguousarray(ab, dtype=np.float32), **own}


def grey(lightness: np.ndarray) -> np.ndarray:
    """H x W x 1 uint8 of Lab lightness."""
    return np.ascontiguousarray(to_rgb8(lightness, np.zeros((*lightness.shape[:2], 2), np.float32))[..., :1])


FILES = ColorizationFiles(TASK)
