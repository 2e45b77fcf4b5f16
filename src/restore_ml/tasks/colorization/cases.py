"""What colorization is tested on: the lightness of colour pictures.

Two cases: photographs (`lab_grey`), and labelled pictures (`in_classes`), whose colours are judged by whether a
classifier still finds the class (`restore_ml.tasks.colorization.class_gap`). Setting: `most`, by the name of a case,
how many pictures of a test set are tested in it at most (0: all; see `restore_ml.degrading.cases`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.tasks.base import Cases, Partner, Sample, no_partner
from restore_ml.tasks.colorization.task import TASK, lab_sample
from restore_ml.tasks.cropping import centre_square, resized_to_short_side

GREY, IN_CLASSES = "lab_grey", "in_classes"


class ColorizationCases(Cases):
    """One grey, so that all methods are compared on the same input."""

    task = TASK

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """The one grey that all methods are compared on."""
        self.resolve(settings)
        return [GREY]

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """Resize the short side to `size` (imresize, uint8), cut the centre square, take its lightness."""
        if degradation != GREY:
            raise UserError(f"The degradation {degradation!r} of colorization is unknown; there is {GREY}.")
        size, rgb = self.resolve(settings)["size"], picture.arrays["image"]
        return lab_sample(centre_square(resized_to_short_side(rgb, size), size) if size else rgb)


class AutomaticCases(ColorizationCases):
    """The same for photographs; labelled pictures, which are small by nature, are at most made smaller."""

    also_from = ("labelled",)
    defaults: ClassVar = {"most": {IN_CLASSES: 72}}

    def check(self, settings: Mapping[str, Any]) -> None:
        """`most` gives some of the cases a whole number, 0 or more."""
        most = settings["most"]
        if not isinstance(most, Mapping) or any(name not in (GREY, IN_CLASSES) or isinstance(count, bool)
                                                or not isinstance(count, int) or count < 0
                                                for name, count in most.items()):
            raise UserError(f"`most` of colorization is {most!r}; it must say of {GREY} or {IN_CLASSES} how many "
                            f"pictures of a test set are tested at most (0: all), such as {{{IN_CLASSES}: 72}}.")

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """Photographs first."""
        return [*super().degradations(settings), IN_CLASSES]

    def leaves_out(self, picture: Record, degradation: str, settings: Mapping[str, Any]) -> str | None:
        """Labelled pictures are for their own case, others for the first one."""
        if ("label" in picture.arrays) == (degradation == IN_CLASSES):
            return None
        return "it has no class" if degradation == IN_CLASSES else "it has a class"

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """See `ColorizationCases`. A labelled picture with a side below `size` is not enlarged, only cut to a square.
        """
        if degradation != IN_CLASSES:
            return super().sample(picture, degradation, seed, settings, partner)
        size, short = self.resolve(settings)["size"], min(picture.arrays["image"].shape[:2])
        return super().sample(picture, GREY, seed, {**settings, "size": min(size or short, short)}, partner)


CASES = AutomaticCases()
