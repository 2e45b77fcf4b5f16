"""Guided colorization for other tools: a grey picture and one with the hints painted on it in, colour out."""

from __future__ import annotations

from restore_ml.arrays import Arrays
from restore_ml.degradations.colour import to_rgb8
from restore_ml.kinds import MASK
from restore_ml.tasks.colorization.sample_files import ColorizationFiles
from restore_ml.tasks.guided_colorization.task import TASK
from restore_ml.tasks.sample_files import PICTURE, Made


class GuidedColorizationFiles(ColorizationFiles):
    """`painted` is the grey picture with the colours of the hints on it, `hinted` white where a colour is given: a
    hint of grey is a hint too."""

    def given(self, inputs: Arrays) -> dict[str, Made]:
        """The grey picture, the same with its hints, and where they are."""
        hinted = (inputs["hinted"] > 0).astype(MASK.dtype)
        return {**super().given(inputs), "painted": Made(PICTURE, to_rgb8(inputs["L"], inputs["hint"])),
                "hinted": Made(PICTURE, hinted * hinted.dtype.type(255))}


FILES = GuidedColorizationFiles(TASK)
