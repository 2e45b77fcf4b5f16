"""A person's picture with its class written on it, and the probabilities of all classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from restore_ml.arrays import Arrays, words
from restore_ml.base.errors import UserError
from restore_ml.data.file_kinds import CLASSES, Picture, Read
from restore_ml.tasks.classification.drawing import RIGHT, enlarged, labelled
from restore_ml.tasks.classification.task import TASK, names
from restore_ml.tasks.photos import THREE, Asked, Given, Got, Photos, Restorer, Way, as_array

if TYPE_CHECKING:
    from restore_ml.method import Method


SMALL = Picture(least=4)
"""Digits have 8 pixels a side."""


class ClassificationPhotos(Photos):
    """A picture in; the same out, with the class that the model takes it for."""

    @property
    def ways(self) -> tuple[Way, ...]:  # type: ignore[override]
        """A picture in, the drawn picture and its `class` out."""
        return (Way((Given("image", SMALL),), (Got("image", SMALL), Got("class", CLASSES))),)

    def probes(self, method: Method) -> tuple[str, ...]:
        """The class sets that it learned."""
        return _sets(method)

    def restore(self, picture: np.ndarray, mask: np.ndarray | None, scale: int | None,
                restorer: Restorer) -> np.ndarray:
        """The picture (a small one enlarged) with its class, of the first class set that the model learned.
        `UserError` where the names of its classes are not known here."""
        return self._found(picture, restorer)[0]

    def answer(self, given: Mapping[str, Read], asked: Asked, restorer: Restorer) -> dict[str, Read]:
        """The drawn picture and the probability of each class; of a model that knows none, 1 for its answer."""
        picture = given["image"]
        shown, inputs, output = self._found(as_array(picture.value, THREE), restorer)
        classes = words(inputs["classes"]).split("\n")
        answered = classes[int(output["label"])]
        chances = dict(zip(classes, output["probabilities"].tolist(), strict=True)) if "probabilities" in output else {}
        chances = {answered: 1.0, **chances}  # the answer is the first one, also of two that are equally probable
        return {"image": Read(shown, picture.origin),
                "class": Read(dict(sorted(chances.items(), key=lambda entry: -entry[1])))}

    def _found(self, picture: np.ndarray, restorer: Restorer) -> tuple[np.ndarray, Arrays, Arrays]:
        name, known = _sets(restorer.method)[0], TASK.defaults["class_sets"]
        if name not in known:
            raise UserError(f"The names of the classes of {name} are not known here; only {', '.join(known)} can be "
                            "asked of a person's picture.")
        inputs = {"image": np.ascontiguousarray(picture), "classes": names(known[name])}
        output = restorer(inputs)
        return self.shown(inputs, output), inputs, output

    def shown(self, inputs: Arrays, output: Arrays) -> np.ndarray:
        """The picture with the class of an output, or of a target."""
        classes = words(inputs["classes"]).split("\n")
        probabilities = output.get("probabilities")
        shares = {} if probabilities is None else dict(zip(classes, probabilities.tolist(), strict=True))
        return labelled(enlarged(inputs["image"]), classes[int(output["label"])], RIGHT, shares)


def _sets(method: Method) -> tuple[str, ...]:
    one = method.settings.get("class_set")
    return (one,) if one else tuple(method.settings["class_sets"])


PHOTOS = ClassificationPhotos()
