"""Classification for other tools: a picture in, a JSON file with its class or the probabilities of all classes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import Arrays, words
from restore_ml.data.file_kinds import CLASSES
from restore_ml.data.pictures import Refused
from restore_ml.tasks.classification.task import TASK
from restore_ml.tasks.sample_files import SampleFiles, Wanted


class ClassificationFiles(SampleFiles):
    """The names of the pictures say what they show, so the files are called by numbers."""

    hides_names: ClassVar = True

    def told(self, inputs: Arrays) -> dict[str, Any]:
        """The names of the classes."""
        return {"classes": words(inputs["classes"]).split("\n")}

    def wanted(self, inputs: Arrays) -> dict[str, Wanted]:
        """The class."""
        return {"class": Wanted(CLASSES)}

    def output(self, inputs: Arrays, files: Mapping[str, Any]) -> Arrays:
        """The likeliest class; the probabilities where there is one for each class."""
        classes, chances = words(inputs["classes"]).split("\n"), files["class"]
        unknown = [name for name in chances if name not in classes]
        if unknown:
            raise Refused(f"the class {unknown[0]!r}, where the classes are {', '.join(classes)}")
        label = np.array(classes.index(next(iter(chances))), np.int32)
        if {*chances} != {*classes}:
            return {"label": label}
        return {"label": label, "probabilities": np.array([chances[name] for name in classes], np.float32)}


FILES = ClassificationFiles(TASK)
