"""Contrast synthesis for other tools: the given contrasts of a slice as NIfTI files in, the wanted ones out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.data.file_kinds import VOLUME
from restore_ml.data.nifti import Volume
from restore_ml.data.pictures import Refused
from restore_ml.tasks.contrast_synthesis.task import CONTRASTS, COUNT, TASK
from restore_ml.tasks.sample_files import Made, SampleFiles, Wanted


class ContrastFiles(SampleFiles):
    """A folder a contrast, a file a slice: width x height x 1 voxels of a millimetre, values from 0 to 255."""

    def given(self, inputs: Arrays) -> dict[str, Made]:
        """The contrasts that are given."""
        height, width = inputs["contrasts"].shape[:2]
        like = Volume(np.zeros((width, height, 1), np.uint8), np.eye(4))
        return {CONTRASTS[channel]: Made(VOLUME, np.ascontiguousarray(inputs["contrasts"][None, :, :, channel]), like)
                for channel in np.flatnonzero(inputs["given"])}

    def told(self, inputs: Arrays) -> dict[str, Any]:
        """Nothing beside them."""
        return {}

    def wanted(self, inputs: Arrays) -> dict[str, Wanted]:
        """The contrasts that are asked for."""
        size = inputs["contrasts"].shape[:2]
        return {CONTRASTS[channel]: Wanted(VOLUME, size) for channel in np.flatnonzero(inputs["wanted"])}

    def output(self, inputs: Arrays, files: Mapping[str, Any]) -> Arrays:
        """All of them as channels, rounded to 8 bit; values beyond 0 and 255 are cut."""
        contrasts = np.zeros((*inputs["contrasts"].shape[:2], COUNT), np.uint8)
        for name, volume in files.items():
            values = np.asarray(volume, np.float64)
            if not np.isfinite(values).all():
                raise Refused("values that are not finite")
            contrasts[..., CONTRASTS.index(name)] = np.rint(np.clip(values[0], 0, 255)).astype(np.uint8)
        return {"contrasts": contrasts}


FILES = ContrastFiles(TASK)
