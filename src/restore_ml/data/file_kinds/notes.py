"""Boxes, classes, points and numbers: small JSON files.

    {"boxes": [{"class": "cat", "score": 0.9, "box": [left, top, right, bottom]}]}      edges in pixels
    {"class": "7", "probabilities": {"7": 0.9, "1": 0.1}}
    {"points": [{"x": 3, "y": 5, "colour": [255, 0, 0]}]}                               centres of pixels; colour if any
    {"strokes": [{"points": [[3, 5], [9, 7]], "width": 3, "colour": "#a02020"}]}        beside points or alone
    {"smiling": 1, "age": -1}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from restore_ml.base.errors import short
from restore_ml.base.files import canonical_json
from restore_ml.data.file_kinds.kind import FileKind, Form, Read, Refused
from restore_ml.data.file_kinds.said import colour

MOST = 10_000
"""Entries of a file, and points of all strokes together."""
WIDEST = 1024
"""Pixels of a stroke's width."""
NARROWEST, PAINTED = 32, 40_000_000
"""All strokes together are at most PAINTED pixels, each its length and once its width times its width, of at least
NARROWEST: what a computer draws in seconds."""
LARGEST = 2**24
"""Bytes of a file."""


@dataclass(frozen=True)
class Boxes:
    """`edges`: B x 4 float32, (left, top, right, bottom); the class and score of each (1 where none is given)."""

    edges: np.ndarray
    classes: tuple[str, ...]
    scores: np.ndarray


@dataclass(frozen=True)
class Stroke:
    """A line of one colour through `places` (P x 2 float32, (x, y), at least one): `width` pixels wide, `colour` three
    uint8 RGB levels."""

    places: np.ndarray
    width: float
    colour: np.ndarray


@dataclass(frozen=True)
class Points:
    """`places`: P x 2 float32, (x, y); `colours`: P x 3 uint8 RGB, where each has one; `strokes`, later ones over
    earlier ones and points over all of them."""

    places: np.ndarray
    colours: np.ndarray | None = None
    strokes: tuple[Stroke, ...] = ()


class Notes(FileKind):
    """A JSON object; what it holds is the affair of each kind."""

    reads = frozenset((".json",))
    writes = {".json": "JSON"}  # noqa: RUF012 - a constant of its class
    text = True

    def decode(self, data: bytes, suffix: str = "") -> Read:
        """Its `value` as the kind says."""
        if len(data) > LARGEST:
            raise Refused(f"too large a file: {len(data)} bytes, at most {LARGEST} are read")
        try:
            found = json.loads(data.decode("utf-8-sig"))
        except json.JSONDecodeError as error:
            raise Refused(f"no readable JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
        except (ValueError, RecursionError):  # broken UTF-8, numbers of thousands of digits, depth
            raise Refused("no readable JSON in UTF-8") from None
        if not isinstance(found, dict):
            raise Refused(f"a JSON {type(found).__name__}, where an object is needed")
        return Read(self.value(found))

    def encode(self, value: Any, form: Form) -> bytes:
        """One layout: equal values give equal bytes."""
        return canonical_json(self.plain(value)).encode()

    def value(self, found: Mapping[str, Any]) -> Any:
        """What the object means; `Refused` where it means nothing."""
        raise NotImplementedError

    def plain(self, value: Any) -> dict[str, Any]:
        """The object that means `value`."""
        raise NotImplementedError


class BoxFile(Notes):
    """`value`: `Boxes`."""

    name = "boxes"
    what = 'a JSON file {"boxes": [{"class": "cat", "box": [left, top, right, bottom]}]}'

    def value(self, found: Mapping[str, Any]) -> Boxes:
        """Each box has four numbers, left before right and top above bottom."""
        edges, classes, scores = [], [], []
        for number, entry in enumerate(_entries(found, "boxes")):
            corners = _numbers(entry.get("box"), 4, f"box {number}", "left, top, right and bottom")
            if corners[0] >= corners[2] or corners[1] >= corners[3]:
                raise Refused(f"box {number} ends before it begins: left {corners[0]:g}, top {corners[1]:g}, right "
                              f"{corners[2]:g}, bottom {corners[3]:g}")
            edges.append(corners)
            classes.append(_word(entry.get("class", ""), f"the class of box {number}"))
            scores.append(_number(entry.get("score", 1), f"the score of box {number}"))
        return Boxes(np.array(edges, np.float32).reshape(-1, 4), tuple(classes), np.array(scores, np.float32))

    def plain(self, value: Boxes) -> dict[str, Any]:
        """Numbers with two digits behind the point, scores with four."""
        rows = zip(value.edges.tolist(), value.classes, value.scores.tolist(), strict=True)
        return {"boxes": [{"class": name, "score": round(score, 4), "box": [round(edge, 2) for edge in box]}
                          for box, name, score in rows]}

    def misfit(self, one: Read, other: Read) -> str | None:
        """No box lies outside of its picture."""
        height, width = other.value.shape[:2]
        return next((f"box {number} lies outside of the picture of {width} x {height}"
                     for number, (left, top, right, bottom) in enumerate(one.value.edges.tolist())
                     if min(left, top) < 0 or right > width or bottom > height), None)

    def told(self, value: Boxes) -> str:
        """How many."""
        return f"{len(value.classes)} boxes"


class ClassFile(Notes):
    """`value`: the probability of each class by its name; the first one is the largest."""

    name = "class"
    what = 'a JSON file {"class": "cat", "probabilities": {"cat": 0.9, "dog": 0.1}}'

    def value(self, found: Mapping[str, Any]) -> dict[str, float]:
        """Of a class without probabilities 1."""
        chances = found.get("probabilities", {str(found["class"]): 1.0} if "class" in found else None)
        if not isinstance(chances, dict) or not chances:
            raise Refused("no class in it: it needs `class` or `probabilities`")
        checked = {name: _number(chance, f"the probability of {short(repr(name), 40)}")
                   for name, chance in chances.items()}
        if any(not 0 <= value <= 1 for value in checked.values()):
            raise Refused("a probability that is not between 0 and 1")
        return dict(sorted(checked.items(), key=lambda item: -item[1]))

    def plain(self, value: Mapping[str, float]) -> dict[str, Any]:
        """The likeliest class, and all probabilities with six digits."""
        return {"class": max(value, key=lambda name: value[name]),
                "probabilities": {name: round(float(chance), 6) for name, chance in value.items()}}

    def told(self, value: Mapping[str, float]) -> str:
        """The likeliest."""
        best = max(value, key=lambda name: value[name])
        return f"{best} ({value[best]:.1%})"


class PointFile(Notes):
    """`value`: `Points`."""

    name = "points"
    what = 'a JSON file {"points": [{"x": 3, "y": 5, "colour": [255, 0, 0]}]}'

    def value(self, found: Mapping[str, Any]) -> Points:
        """All points have a colour, or none; a stroke always has one. One of the two lists may be missing."""
        _known(found, ("points", "strokes"), "it")
        entries = [] if "strokes" in found and "points" not in found else _entries(found, "points")
        places, colours = [], []
        for number, entry in enumerate(entries):
            _known(entry, ("x", "y", "colour"), f"point {number}")
            places.append(_numbers([entry.get("x"), entry.get("y")], 2, f"point {number}", "x and y"))
            colours += [_colour(entry["colour"], f"point {number}")] if "colour" in entry else []
        if colours and len(colours) != len(entries):
            raise Refused(f"{len(colours)} of {len(entries)} points have a colour: give one to each, or to none")
        strokes = tuple(_stroke(entry, number) for number, entry in enumerate(
            _entries(found, "strokes") if "strokes" in found else []))
        if (count := sum(len(stroke.places) for stroke in strokes)) > MOST:
            raise Refused(f"{count} points in its strokes, at most {MOST} are read")
        if (painted := sum(_painted(stroke) for stroke in strokes)) > PAINTED:
            raise Refused(f"strokes of {painted / 1e6:.0f} million pixels, length times width, at most "
                          f"{PAINTED // 1_000_000} are read")
        return Points(np.array(places, np.float32).reshape(-1, 2), np.array(colours, np.uint8) if colours else None,
                      strokes)

    def plain(self, value: Points) -> dict[str, Any]:
        """Places and widths with two digits behind the point; strokes where there are some."""
        found = [{"x": round(float(x), 2), "y": round(float(y), 2)} for x, y in value.places]
        strokes = [{"points": [[round(float(x), 2), round(float(y), 2)] for x, y in stroke.places],
                    "width": round(stroke.width, 2), "colour": stroke.colour.tolist()} for stroke in value.strokes]
        return {"points": found if value.colours is None else [
            {**entry, "colour": colour} for entry, colour in zip(found, value.colours.tolist(), strict=True)],
            **({"strokes": strokes} if strokes else {})}

    def misfit(self, one: Read, other: Read) -> str | None:
        """No point lies outside of its picture, alone or in a stroke."""
        height, width = other.value.shape[:2]
        named = [(f"point {number}", place) for number, place in enumerate(one.value.places.tolist())]
        named += [(f"point {place} of stroke {number}", places) for number, stroke in enumerate(one.value.strokes)
                  for place, places in enumerate(stroke.places.tolist())]
        return next((f"{which} at {x:g}, {y:g} lies outside of the picture of {width} x {height}"
                     for which, (x, y) in named
                     if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5)), None)

    def told(self, value: Points) -> str:
        """How many."""
        return f"{len(value.places)} points" + (f" and {len(value.strokes)} strokes" if value.strokes else "")


class NumberFile(Notes):
    """`value`: numbers by name."""

    name = "numbers"
    what = 'a JSON file of numbers by name, {"smiling": 1}'

    def value(self, found: Mapping[str, Any]) -> dict[str, float]:
        """At most MOST."""
        if len(found) > MOST:
            raise Refused(f"{len(found)} numbers, at most {MOST} are read")
        return {name: _number(value, short(repr(name), 40)) for name, value in found.items()}

    def plain(self, value: Mapping[str, float]) -> dict[str, Any]:
        """With six digits."""
        return {name: round(float(number), 6) for name, number in value.items()}

    def told(self, value: Mapping[str, float]) -> str:
        """How many."""
        return f"{len(value)} numbers"


def _stroke(entry: Mapping[str, Any], number: int) -> Stroke:
    """`points` [[x, y], ...], `width` from 1 to WIDEST, `colour`."""
    which = f"stroke {number}"
    _known(entry, ("points", "width", "colour"), which)
    places, width = entry.get("points"), _number(entry.get("width"), f"the width of {which}")
    if not isinstance(places, list) or not places:
        raise Refused(f"{which} needs `points`, a list of [x, y] with at least one")
    if len(places) > MOST:
        raise Refused(f"{len(places)} points in {which}, at most {MOST} are read")
    if not 1 <= width <= WIDEST:
        raise Refused(f"the width of {which} is {width:g}, where 1 to {WIDEST} pixels are taken")
    return Stroke(np.array([_numbers(place, 2, f"point {order} of {which}", "x and y")
                            for order, place in enumerate(places)], np.float32),
                  width, np.array(_colour(entry.get("colour"), which), np.uint8))


def _painted(stroke: Stroke) -> float:
    """A stroke's length and width times its width, overlaps counted again."""
    length = np.linalg.norm(np.diff(stroke.places.astype(np.float64), axis=0), axis=1).sum()
    return float((length + stroke.width) * max(stroke.width, NARROWEST))


def _known(found: Mapping[str, Any], keys: tuple[str, ...], what: str) -> None:
    for key in found:
        if key not in keys:
            raise Refused(f"{what} has the unknown key {short(repr(key), 40)}; the keys are {', '.join(keys)}")


def _entries(found: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    entries = found.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Refused(f"it needs `{key}`, a list of objects")
    if len(entries) > MOST:
        raise Refused(f"{len(entries)} {key}, at most {MOST} are read")
    return entries


def _numbers(value: Any, count: int, what: str, which: str) -> list[float]:
    if not isinstance(value, list) or len(value) != count:
        said = f"{len(value)} numbers" if isinstance(value, list) else "none"
        raise Refused(f"{what} needs {count} numbers, {which}; it has {said}")
    return [_number(number, what) for number in value]


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e9 < value < 1e9:  # nor NaN
        raise Refused(f"{what} is {short(repr(value), 40)}, where a number is needed")
    return float(value)


def _word(value: Any, what: str) -> str:
    if not isinstance(value, str) or len(value) > 200:
        raise Refused(f"{what} is {short(repr(value), 40)}, where a text of at most 200 letters is needed")
    return value


def _colour(value: Any, which: str) -> list[int]:
    if isinstance(value, str):
        try:
            return colour(value)
        except Refused as refused:
            raise Refused(f"the colour of {which}, {refused.reason}") from None
    if not isinstance(value, list) or len(value) != 3 or not all(
            isinstance(level, int) and not isinstance(level, bool) and 0 <= level <= 255 for level in value):
        raise Refused(f"the colour of {which} is {short(repr(value), 40)}, where three levels from 0 to 255 "
                      "or a text such as '#a02020' are needed")
    return value


BOXES = BoxFile()
CLASSES = ClassFile()
POINTS = PointFile()
NUMBERS = NumberFile()
