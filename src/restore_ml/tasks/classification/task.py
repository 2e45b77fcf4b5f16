"""Classification: a picture in, its class out.

A *class set* is a question: the names among which the answer is. Labelled pictures of several collections answer the
same one (`digits`: those of 28 and of 8 pixels), others another one (`crops`: what a crop of a photograph shows). Each
class set is a degradation, so that a case is a test set and a question (`digits_8px/digits`), and a run learns the
class sets that its settings name. A test picture is asked only what has an answer; one whose class is in no class set
is left out and named.

Inputs: `image` (H x W x 3 uint8, of any size) and `classes`, the names of the class set in their order, one a line.
Target: `label`, the number of its class from 0 in that order. Output: `label` and, where a method knows it,
`probabilities` of all classes, which sum to 1.
Setting: `class_sets`, the names of the classes by that of the set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import ArraySpec, text
from restore_ml.base.errors import UserError
from restore_ml.kinds import NUMBER, PICTURE, TEXT, VECTOR
from restore_ml.tasks.base import Task

NO_CLASS = -1
"""The number of a picture whose class is none of those that are asked for; no test sample has it."""


class Classification(Task):
    """See the module's docstring."""

    name = "classification"
    roles: ClassVar = {"picture": "labelled"}
    inputs: ClassVar = {"image": ArraySpec(PICTURE, 3), "classes": ArraySpec(TEXT, 0)}
    target: ClassVar = {"label": ArraySpec(NUMBER, low=0)}
    output: ClassVar = {"label": ArraySpec(NUMBER, low=0), "probabilities": ArraySpec(VECTOR, 0, low=0, high=1)}
    optional_output: ClassVar = ("probabilities",)
    defaults: ClassVar = {"class_sets": {
        "digits": ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
        "crops": ["cells", "cloth", "face", "feathers", "fur", "grass", "handwriting", "land", "leaves", "masonry",
                  "stones", "vehicle"]}}

    def check(self, settings: Mapping[str, Any]) -> None:
        """Each class set has a plain name and two or more different classes."""
        sets = settings["class_sets"]
        if not isinstance(sets, Mapping) or not sets:
            raise UserError(f"`class_sets` of classification is {sets!r}; it must give each class set its classes, "
                            "such as {pets: [cat, dog]}.")
        for name, classes in sets.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]*", str(name)):
                raise UserError(f"The class set {name!r} of classification must be named in small letters, digits and "
                                "underscores.")
            if not isinstance(classes, list) or len(classes) < 2 or len({str(one) for one in classes}) < len(classes):
                raise UserError(f"The class set {name} of classification is {classes!r}; it must list two or more "
                                "different classes.")
            if any(not isinstance(one, str) or not one or "\n" in one for one in classes):
                raise UserError(f"The class set {name} of classification is {classes!r}; each class must be a text "
                                "in one line (write '0', not 0).")


def number_of(label: str, classes: list[str]) -> int:
    """The number of a class in its set, NO_CLASS where it is not in it.

    >>> number_of("dog", ["cat", "dog"]), number_of("cow", ["cat", "dog"])
    (1, -1)
    """
    return classes.index(label) if label in classes else NO_CLASS


def names(classes: list[str]) -> np.ndarray:
    """The input `classes`: a text with a line for each class."""
    joined = "\n".join(classes)
    return text(joined, len(joined.encode()))


TASK = Classification()
