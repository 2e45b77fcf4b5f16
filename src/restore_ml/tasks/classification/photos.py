"""A person's picture with its class written on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from restore_ml.arrays import Arrays, words
from restore_ml.base.errors import UserError
from restore_ml.tasks.classification.drawing import RIGHT, enlarged, labelled
from restore_ml.tasks.classification.task import TASK, names
from restore_ml.tasks.photos import Photos, Restorer

if TYPE_CHECKING:
    from restore_ml.method import Method


class ClassificationPhotos(Photos):
    """A picture in; the same out, with the class that the model takes it for."""

    def probes(self, method: Method) -> tuple[str, ...]:
        """The class sets that it learned."""
        return _sets(method)

    def restore(self, picture: np.ndarray, mask: np.ndarray | None, scale: int | None,
                restorer: Restorer) -> np.ndarray:
        """The picture (a small one enlarged) with its class, of the first class set that the model learned.
        `UserError` where the names of its classes are not known here."""
        name, known = _sets(restorer.method)[0], TASK.defaults["class_sets"]
        if name not in known:
            raise UserError(f"The names of the classes of {name} are not known here; only {', '.join(known)} can be "
                            "asked of a person's picture.")
        inputs = {"image": np.ascontiguousarray(picture), "classes": names(known[name])}
        return self.shown(inputs, restorer(inputs))

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
