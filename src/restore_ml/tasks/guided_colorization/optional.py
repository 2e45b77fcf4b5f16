"""What a person may say of a picture's colours beside points: a palette, a reference picture, a text.

Only methods that name them get them. For tests and in training they are drawn from the truth; a person gives them as
files.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from restore_ml.arrays import ArraySpec, text
from restore_ml.kinds import PICTURE, TEXT, VECTOR
from restore_ml.tasks.base import OptionalInputs, Sample
from restore_ml.tasks.guided_colorization.palette import ENTRIES, palette
from restore_ml.tasks.guided_colorization.reference import augmented
from restore_ml.tasks.guided_colorization.vocabulary import BYTES, told


class Guides(OptionalInputs):
    """`palette`: five Lab colours as 15 numbers (L, a, b of each in turn); their order means nothing. `reference`: a
    colour picture of any size. `text`: words of the vocabulary in UTF-8."""

    inputs: ClassVar = {"palette": ArraySpec(VECTOR, ENTRIES, low=-128, high=128), "reference": ArraySpec(PICTURE, 3),
                        "text": ArraySpec(TEXT, BYTES)}

    def draw(self, name: str, sample: Sample, degradation: str, rng: np.random.Generator) -> np.ndarray:
        """See `palette`, `augmented` and `told`. A reference is a changed copy of the sample's own picture, at its
        size; a method that wants others in training takes those of the other samples of a batch. In tests a text is
        what comes first of all that can be told, in training it is drawn."""
        if name == "reference":
            return augmented(sample.target["rgb"], rng)
        lightness, ab = sample.inputs["L"], sample.target["ab"]
        if name == "palette":
            return palette(lightness, ab, rng)
        return text(told(lightness, ab, None if degradation else rng), BYTES)


OPTIONAL = Guides()
