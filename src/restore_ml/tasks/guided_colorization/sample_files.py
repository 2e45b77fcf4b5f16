"""Guided colorization for other tools: a grey picture, one with the hints painted on it and the guides in, colour
out."""

from __future__ import annotations

from typing import Any

from restore_ml.arrays import Arrays, words
from restore_ml.degradations.colour import to_rgb8
from restore_ml.kinds import MASK
from restore_ml.tasks.colorization.sample_files import ColorizationFiles
from restore_ml.tasks.guided_colorization.palette import COLOURS
from restore_ml.tasks.guided_colorization.task import TASK
from restore_ml.tasks.sample_files import PICTURE, Made


class GuidedColorizationFiles(ColorizationFiles):
    """`painted` is the grey picture with the colours of the hints on it, `hinted` white where a colour is given: a
    hint of grey is a hint too. `reference` is a picture; palette and text stand in the manifest."""

    def given(self, inputs: Arrays) -> dict[str, Made]:
        """The grey picture, the same with its hints, and where they are."""
        hinted = (inputs["hinted"] > 0).astype(MASK.dtype)
        guide = {"reference": Made(PICTURE, inputs["reference"])} if "reference" in inputs else {}
        return {**super().given(inputs), "painted": Made(PICTURE, to_rgb8(inputs["L"], inputs["hint"])),
                "hinted": Made(PICTURE, hinted * hinted.dtype.type(255)), **guide}

    def told(self, inputs: Arrays) -> dict[str, Any]:
        """`palette`: colours as `#rrggbb`; `text`: words."""
        found: dict[str, Any] = {}
        if "palette" in inputs:
            colours = inputs["palette"].reshape(1, COLOURS, 3)
            levels = to_rgb8(colours[..., 0], colours[..., 1:])[0]
            found["palette"] = ["#" + bytes(levels[number]).hex() for number in range(COLOURS)]
        if "text" in inputs:
            found["text"] = words(inputs["text"])
        return found


FILES = GuidedColorizationFiles(TASK)
