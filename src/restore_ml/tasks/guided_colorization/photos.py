"""A person's grey picture with dabs of colour on it, points, strokes, a palette, a reference or words beside it,
coloured: its lightness stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from restore_ml import registry
from restore_ml.arrays import Arrays, text
from restore_ml.base.errors import UserError
from restore_ml.data.file_kinds import COLOURS, PICTURE, POINTS, WORDS, Points, Read
from restore_ml.degradations.colour import rgb_to_lab
from restore_ml.tasks.colorization.photos import COLOUR_SIDE, STRIP, ColorizationPhotos, in_units, toned, y601
from restore_ml.tasks.colorization.task import NEAR_GREY
from restore_ml.tasks.cropping import at_most
from restore_ml.tasks.guided_colorization import palette, vocabulary
from restore_ml.tasks.guided_colorization.gamut import snapped
from restore_ml.tasks.guided_colorization.strokes import stroke
from restore_ml.tasks.guided_colorization.without_points import WITHOUT_POINTS
from restore_ml.tasks.photos import THREE, Asked, Given, Got, Restorer, Way, as_array

if TYPE_CHECKING:
    from restore_ml.method import Method

GUIDES = {"palette": "--palette '#a02020, #2060a0'", "reference": "--reference FILE", "text": "--text 'red ball'"}
"""The guides that only some methods take, and how a person gives them."""


@dataclass(frozen=True)
class GuidedRestorer(Restorer):
    """A restorer that adds the hints of the picture, at the size of the lightness that it is given, and the guides."""

    hint: np.ndarray
    hinted: np.ndarray
    guides: Arrays = field(default_factory=dict)

    def __call__(self, inputs: Arrays, tile: int | None = None, overlap: int = 0) -> Arrays:
        """See `Restorer`."""
        hints = reduced(self.hint, self.hinted, inputs["L"].shape[:2])
        return super().__call__({**inputs, **hints, **self.guides}, tile, overlap)


class GuidedColorizationPhotos(ColorizationPhotos):
    """Hints are for methods that take no other guide. One file may hold both picture and hints: these are the pixels
    with some |a| or |b| above 5, painted on the grey picture in a blend mode that keeps lightness (`colour` in most
    programs). A hint of grey cannot be given so, but as a point: `points` colour a pixel each, also one that is dabbed,
    and their strokes the pixels beneath them; of their colours a and b count, at the lightness of the pixel. A method
    with a guide of its own takes that alone; the colours of the picture mean nothing to it, and a print in one tone is
    turned to grey before, as in colorization."""

    @property
    def ways(self) -> tuple[Way, ...]:  # type: ignore[override]
        """The picture and, where there are some, `points` with colours, or the guide that the model takes."""
        return (Way((Given("image", PICTURE), Given("points", POINTS, required=False, fits="image"),
                     Given("palette", COLOURS, required=False), Given("reference", PICTURE, required=False),
                     Given("text", WORDS, required=False)), (Got("image", PICTURE),)),)

    def answer(self, given: Mapping[str, Read], asked: Asked, restorer: Restorer) -> dict[str, Read]:
        """The picture in colour. `UserError` for points without colours, for a guide that means nothing or that the
        model does not take, and where it needs one that is not given."""
        check(restorer.method, given)
        picture, points = given["image"], given.get("points")
        if points is not None and points.value.colours is None and len(points.value.places):
            raise UserError('The points have no colours; write {"points": [{"x": 3, "y": 5, "colour": [255, 0, 0]}]}.')
        guides = {name: GUIDE_ARRAYS[name](given[name].value) for name in restorer.method.inputs}
        own = y601(picture.value) if guides and toned(picture.value) else picture.value
        coloured = self._coloured(as_array(own, THREE), None if points is None else points.value, guides, restorer)
        return {"image": Read(coloured, picture.origin)}

    def probes(self, method: Method) -> tuple[str, ...]:
        """The case that ranks, and of a method with a guide of its own the one that it stands in."""
        return (WITHOUT_POINTS,) if method.inputs else ("hints_10",)

    def remark(self, method: Method, given: Mapping[str, Read]) -> str:
        """Of a method with a guide of its own, as in colorization. Of others nothing: colours in the picture are hints,
        and a print in one tone is refused."""
        return super().remark(method, given) if method.inputs else ""

    def restore(self, picture: np.ndarray, mask: np.ndarray | None, scale: int | None,
                restorer: Restorer) -> np.ndarray:
        """The picture in colour, by its dabs alone. `UserError` where more of it is coloured than grey (an old sepia
        print)."""
        check(restorer.method, {})
        return self._coloured(picture, None, {}, restorer)

    def _coloured(self, picture: np.ndarray, points: Points | None, guides: Arrays, restorer: Restorer) -> np.ndarray:
        height, width = picture.shape[:2]
        lab = np.empty((height, width, 3), np.float32)
        rows = max(1, STRIP // width)
        for top in range(0, height, rows):
            lab[top:top + rows] = rgb_to_lab(in_units(picture[top:top + rows]))
        hint = lab[..., 1:]
        hinted = (np.abs(hint).max(axis=2, keepdims=True) > NEAR_GREY).astype(np.float32)
        if guides:
            hinted[:] = 0
        elif hinted.mean() > 0.5 or toned(picture):
            raise UserError("More than half of the picture is coloured. Make it grey first, then paint the hints on it "
                            "in the blend mode that keeps lightness.")
        if points is not None:
            given = _drawn(points, hint)
            for top in range(0, height, rows):
                part, there = lab[top:top + rows], given[top:top + rows]
                part[there, 1:] = snapped(part[there, 0], part[there, 1:])
            hinted[given] = 1
        guided = GuidedRestorer(restorer.method, restorer.model, restorer.seed, restorer.restore, hint * hinted, hinted,
                                guides)
        return super().restore(picture, None, None, guided)


def _drawn(points: Points, hint: np.ndarray) -> np.ndarray:
    """Draw the strokes, then the points, as a and b of their colours into `hint` (H x W x 2); where some are: bool,
    H x W."""
    given = np.zeros(hint.shape[:2], bool)

    def draw(rows: np.ndarray, columns: np.ndarray, colours: np.ndarray) -> None:
        hint[rows, columns] = rgb_to_lab(colours[None].astype(np.float32) / 255)[0, :, 1:]
        given[rows, columns] = True

    for line in points.strokes:
        for rows, columns in stroke(line.places, line.width, hint.shape[:2]):
            draw(rows, columns, line.colour[None])
    if points.colours is not None:
        columns, rows = np.floor(points.places.astype(np.float64) + 0.5).astype(np.int64).T
        draw(rows, columns, points.colours)
    return given


def check(method: Method, given: Mapping[str, object]) -> None:
    """`UserError` for a guide that the method does not take, and for one that it needs and does not get."""
    taken, name = method.inputs, type(method).__module__.rpartition(".")[2]
    for guide in (guide for guide in ("points", *GUIDES) if guide in given):
        if _takes(taken, guide):
            continue
        others = [other for other in registry.method_names("guided_colorization")
                  if _takes(registry.method_class("guided_colorization", other).inputs, guide)]
        raise UserError(f"A model of {name} takes no {guide}; leave it out"
                        f"{f', or name a run of {_either(others)} with --model' if others else ''}.")
    for guide in taken:
        if guide not in given:
            raise UserError(f"A model of {name} needs a {guide}: give {GUIDES[guide]}; over HTTP, a column of that "
                            "name.")


def _either(names: list[str]) -> str:
    """`a, b or c`."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _takes(inputs: tuple[str, ...], guide: str) -> bool:
    """Points are the guide of methods that name no other."""
    return guide in inputs or (guide == "points" and not inputs)


def palette_array(colours: np.ndarray) -> np.ndarray:
    """P x 3 uint8 RGB as the task's palette: fewer colours than it has are repeated. `UserError` for more."""
    if len(colours) > palette.COLOURS:
        raise UserError(f"The palette has {len(colours)} colours; at most {palette.COLOURS} are taken.")
    lab: np.ndarray = rgb_to_lab(np.resize(colours, (palette.COLOURS, 3)).astype(np.float32) / 255)
    return lab.ravel()


def reference_array(picture: np.ndarray) -> np.ndarray:
    """A picture file's pixels as the task's reference, made smaller where it is larger than what is coloured.
    `UserError` for a grey one."""
    small = at_most(np.ascontiguousarray(as_array(picture, THREE)), COLOUR_SIDE)
    if np.abs(rgb_to_lab(small.astype(np.float32) / 255)[..., 1:]).max() <= NEAR_GREY:
        raise UserError("The reference has no colour; give a colour picture.")
    return small


def text_array(told: str) -> np.ndarray:
    """A person's words as the task's text: those of the vocabulary. `UserError` for others, and where no colour is
    among them."""
    found = [vocabulary.VOCABULARY[number - 1] for number in vocabulary.numbers(told) if number]
    if not set(found) & set(vocabulary.COLOURS):
        raise UserError(f"The text {told[:40]!r} says no colour; write one before a place or thing, such as 'red "
                        "ball'.")
    return text(" ".join(found), vocabulary.BYTES)


GUIDE_ARRAYS: dict[str, Callable[[Any], np.ndarray]] = {
    "palette": palette_array, "reference": reference_array, "text": text_array}
"""A file's value -> the task's array."""


def reduced(hint: np.ndarray, hinted: np.ndarray, size: tuple[int, int]) -> Arrays:
    """The hints on a grid of at most their own size: a pixel that holds some is hinted with their mean colour."""
    if hint.shape[:2] == tuple(size):
        return {"hint": hint, "hinted": hinted}
    colour, share = (cv2.resize(value, size[::-1], interpolation=cv2.INTER_AREA) for value in (hint, hinted))
    there = share[..., None] > 0
    mean = np.divide(colour, share[..., None], out=np.zeros_like(colour), where=there)
    return {"hint": mean, "hinted": there.astype(np.float32)}


PHOTOS = GuidedColorizationPhotos()
