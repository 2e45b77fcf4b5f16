"""A person's picture with its class written on it, and the probabilities of all classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from restore_ml.arrays import Arrays, words
from restore_ml.base.errors import UserError
from restore_ml.data.file_kinds import CLASSES, Picture
from restore_ml.tasks.classification.drawing import RIGHT, enlarged, labelled
from restore_ml.tasks.classification.task import TASK, names
from restore_ml.tasks.photos import Annotated, Got, Restorer

if TYPE_CHECKING:
    from restore_ml.method import Method


SMALL = Picture(least=4)
"""Digits have 8 pixels a side."""


class ClassificationPhotos(Annotated):
    """A picture in; the same out (a small one enlarged) with the class that the model takes it for, of the first class
    set that it learned."""

    finding: ClassVar = Got("class", CLASSES)
    picture: ClassVar = SMALL

    def probes(self, method: Method) -> tuple[str, ...]:
        """The class sets that it learned."""
        return _sets(method)

    def inputs(self, picture: np.ndarray, restorer: Restorer) -> Arrays:
        """The picture and the names of the classes; `UserError` where they are not known here."""
        name, known = _sets(restorer.method)[0], TASK.defaults["class_sets"]
        if name not in known:
            raise UserError(f"The names of the classes of {name} are not known here; only {', '.join(known)} can be "
                            "asked of a person's picture.")
        return {**super().inputs(picture, restorer), "classes": names(known[name])}

    def shown(self, inputs: Arrays, output: Arrays) -> np.ndarray:
        """The picture with the class of an output, or of a target."""
        classes = words(inputs["classes"]).split("\n")
        return labelled(enlarged(inputs["image"]), classes[int(output["label"])], RIGHT, _chances(classes, output))

    def found(self, inputs: Arrays, output: Arrays) -> dict[str, float]:
        """The probability of each class, the largest first; of a model that knows none, 1 for its answer."""
        classes = words(inputs["classes"]).split("\n")
        # the answer is the first one, also of two that are equally probable
        chances = {classes[int(output["label"])]: 1.0, **_chances(classes, output)}
        return dict(sorted(chances.items(), key=lambda entry: -entry[1]))


def _chances(classes: list[str], output: Arrays) -> dict[str, float]:
    return dict(zip(classes, output["probabilities"].tolist(), strict=True)) if "probabilities" in output else {}


def _sets(method: Method) -> tuple[str, ...]:
    one = method.settings.get("class_set")
    return (one,) if one else tuple(method.settings["class_sets"])


PHOTOS = ClassificationPhotos()
